"""What is declared is what the document of 2011 says: names, errors, answers."""

import json

import msgspec
import pytest

from oms.contract.errors import GENERAL
from oms.contract.operation import HostOperation
from tests.contract.document import ALL, GENERAL_ERRORS, METHODS, Documented

each = pytest.mark.parametrize("documented", METHODS, ids=str)


def test_these_services_stand_in_the_document() -> None:
    """So that the tests below can never be about nothing."""
    declared = {str(method) for method in METHODS}
    assert {str(m) for m in ALL if m.service in ("authservices", "funcservices")} <= declared
    some = "list_vms list_vms_status parse_system_min_max parse_vm_settings update_vm_settings stop_vm start_vm"
    assert {f"kvmservices.{name}" for name in some.split()} <= declared


@each
def test_parameters_have_the_documents_names_in_its_order(documented: Documented) -> None:
    """What was added since comes after them, and may be left out."""
    params = documented.declared.facts.params
    assert [param.name for param in params][: len(documented.parameters)] == documented.parameters
    assert not any(param.required for param in params[len(documented.parameters) :])


@each
def test_an_example_answer_is_of_the_declared_type_and_keeps_its_order_of_keys(documented: Documented) -> None:
    if documented.answer is None:
        pytest.skip("the document has no legible answer")
    answer = documented.answer["result"]["result"]
    kind = documented.declared
    if issubclass(kind, HostOperation):
        assert list(answer) == ["client", "result"]
        answer = answer["result"]
    typed = msgspec.convert(answer, kind.facts.result)
    assert json.dumps(msgspec.to_builtins(typed)) == json.dumps(answer)


@each
def test_an_example_answer_has_the_declared_type_word(documented: Documented) -> None:
    if documented.answer is None:
        pytest.skip("the document has no legible answer")
    assert documented.answer["result"]["type"] == documented.declared.facts.answers


@each
def test_a_method_raises_what_the_document_says(documented: Documented) -> None:
    ours = {error.wire_name for error in documented.declared.facts.raises}
    assert set(documented.errors) - set(GENERAL_ERRORS) <= ours


def test_the_general_errors_are_the_documents_in_its_order() -> None:
    assert [error.wire_name for error in GENERAL] == GENERAL_ERRORS


def test_the_document_has_34_error_names() -> None:
    assert len({*GENERAL_ERRORS, *(name for method in ALL for name in method.errors)}) == 34
