"""What a client writes is what the server reads, and what the server writes is what the client gives or raises."""

import json
from typing import Any

import msgspec
import pytest

from oms.client import calls
from oms.contract import kvm, pages, task
from oms.contract.decode import decode
from oms.contract.errors import FuncManError, OmsError
from oms.contract.operation import CACHE_TIMEOUT, SESSID, HostOperation, Operation
from oms.contract.registry import OPERATIONS
from oms.contract.types import encode_secret
from oms.server.edge import dialects
from oms.server.edge.dialects import Asked
from oms.server.pipeline import Answer

each = pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.facts.wire)
ASKED = Asked("2.0", "", "", {}, 1)
SEEN = [
    kind
    for kind in OmsError.kinds.values()
    if hasattr(kind, "code") and kind.__module__.startswith("oms.contract")
]


def written(op: Operation[Any], **front: Any) -> dict[str, Any]:
    """The request of an operation."""
    made: dict[str, Any] = json.loads(calls.call(op, **{"sessid": "S", "host": "h1", "cache_timeout": 7, **front}))
    return made


@each
def test_every_operation_arrives_as_it_was_meant(kind: type[Operation[Any]]) -> None:
    op = decode(kind, pages.example(kind)).op
    request = written(op)
    assert (request["jsonrpc"], request["method"]) == ("2.0", kind.facts.wire)
    read = decode(kind, request["params"])
    assert msgspec.json.encode(read.op, enc_hook=encode_secret) == msgspec.json.encode(op, enc_hook=encode_secret)
    assert read.host == ("h1" if issubclass(kind, HostOperation) else "")
    assert read.cache_timeout == (7 if CACHE_TIMEOUT in kind.front else 0)
    assert request["params"].get("SESSID") == ("S" if SESSID in kind.front else None)


def test_what_has_its_default_is_not_sent_so_that_an_older_server_takes_it() -> None:
    assert written(kvm.ListVms())["params"] == {"SESSID": "S", "cache_timeout": 7, "server_hostname": "h1"}
    assert written(kvm.ListVms(("cpu",)))["params"]["stats_argument"] == ["cpu"]
    assert "seconds" not in written(task.WaitTask("0" * 32, 60))["params"]
    assert written(task.WaitTask("0" * 32, 5))["params"]["seconds"] == 5


@pytest.mark.parametrize("kind", SEEN, ids=lambda kind: kind.__name__)
def test_every_error_is_raised_as_what_it_was(kind: type[OmsError]) -> None:
    error = kind("A sentence.", job="j", name="vm1", code=3)
    with pytest.raises(OmsError) as raised:
        calls.answered(kvm.ListVms(), dialects.write(ASKED, error))
    assert type(raised.value) is kind
    assert raised.value.message == "A sentence."
    assert raised.value.data == {"job": "j"}  # the other two names are the protocol's own


def test_an_error_that_is_not_known_here_keeps_its_name() -> None:
    answer = {"error": {"message": "A new one.", "data": {"name": "NewError", "reason": "r", "x": 1}}}
    with pytest.raises(FuncManError, match="A new one") as raised:
        calls.answered(kvm.ListVms(), json.dumps(answer).encode())
    assert raised.value.data == {"kind": "NewError", "reason": "r", "x": 1}


def test_a_reason_that_is_not_known_here_stays_in_the_data() -> None:
    answer = {"error": {"message": "A new one.", "data": {"name": "FuncManError", "reason": "new"}}}
    with pytest.raises(FuncManError) as raised:
        calls.answered(kvm.ListVms(), json.dumps(answer).encode())
    assert raised.value.details() == {"reason": "new"}


def test_a_result_is_typed_and_what_a_newer_server_adds_is_passed_over() -> None:
    machine = {"status": 1, "tags": [], "stats": {}, "name": "a", "id": "a", "new": 1}
    answer = dialects.write(ASKED, Answer("func", {"client": "h1", "result": [machine]}, "now"))
    (found,) = calls.answered(kvm.ListVms(), answer)
    assert found == kvm.Machine(1, [], kvm.MachineStats(), "a", "a")


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"{}", b'{"result": 1}', b'{"result": {"result": {"result": 1}}}', b"[" * 5000]
)
def test_what_is_no_answer_is_seen(answer: bytes) -> None:
    with pytest.raises(calls.UNREADABLE):
        calls.answered(kvm.ListVms(), answer)
