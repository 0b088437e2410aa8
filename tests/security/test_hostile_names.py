"""Hostile texts in the place of every parameter of every method, over OMS's processes and a real hypervisor.

Each call is refused, naming the parameter, or, where a method takes any text, by what it says of one that it does
not know. No program is started by any of it, on OMS or its host.
"""

import itertools
import json
import time
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oms.contract.operation import HostOperation, Param
from oms.contract.registry import OPERATIONS
from tests.agent.templates.packages import small_template
from tests.hosts.stack import NAME
from tests.security import calls, hostile
from tests.security.attack import published, shows_nothing
from tests.security.calls import Kind
from tests.security.watched import Watched
from tests.security.wire import Connection

pytestmark = pytest.mark.hosts
Answer = dict[str, Any]
Says = Callable[[Answer, Any], bool]
IN_A_BATCH = 100
IN_TURNS = 6
"""A type reads its texts alike wherever it stands: all of them come to the first parameter of that type, and each
sixth to every other, by turns."""


def is_error(name: str) -> Says:
    """The method answers that error."""
    return lambda answer, _value: "error" in answer and answer["error"]["data"]["name"] == name


def is_unknown(name: str) -> Says:
    """The method answers that error, and lists the texts as they are."""
    return lambda answer, value: is_error(name)(answer, value) and answer["error"]["data"]["unknown"] == value


def is_refused(answer: Answer, value: Any) -> bool:
    """The method answers with a text for the refused setting and nothing else."""
    if "error" in answer:
        return False
    refusals = answer["result"]["result"]["result"]
    return list(refusals) == list(value) and all(refusals.values())


def is_sought(answer: Answer, value: Any) -> bool:
    """The method finds nothing but what has these words in it."""
    page = answer["result"]["result"] if "result" in answer else {}
    found = [json.dumps(one).lower() for one in page.get("hosts", page.get("guests", []))]
    return "result" in answer and all(word.lower() in one for one in found for word in value.split())


ANY_TEXT: dict[tuple[str, str], Says] = {
    ("fleetservices.list_hosts", "search"): is_sought,
    ("fleetservices.list_guests", "search"): is_sought,
    ("authservices.authenticate", "username"): is_error("AuthError"),
    ("authservices.authenticate", "password"): is_error("AuthError"),
    ("funcservices.sign_requests", "hostname_list"): is_unknown("UnknownSignRequestsError"),
    ("funcservices.remove_requests", "hostname_list"): is_unknown("UnknownRemoveRequestError"),
    ("funcservices.remove_signed", "hostname_list"): is_unknown("UnknownRemoveSignedError"),
    ("userservices.add_user", "new_password"): is_error("FuncManError"),  # it is weak, or that user is there
    ("userservices.reset_password", "new_password"): is_error("FuncManError"),
    ("userservices.change_password", "old_password"): is_error("AuthError"),
    ("userservices.change_password", "new_password"): is_error("AuthError"),  # for the old one
    ("kvmservices.create_snapshot", "description"): is_error("FuncManError"),  # it has no disk
    ("isoservices.fetch_image", "url"): is_error("FuncManError"),
    ("kvmservices.fetch_file_based_image", "url"): is_error("FuncManError"),
    ("kvmservices.fetch_template", "url"): is_error("FuncManError"),
    ("ovzservices.update_vm_settings", "container_settings_dictionary"): is_error("FuncManError"),  # none is there
    ("ovzservices.fetch_template", "url"): is_error("FuncManError"),
    ("ovzservices.deploy_template_for_vm", "settings_dictionary"): is_error("FuncManError"),
    ("ovzservices.create_template_from_vm", "settings_dictionary"): is_error("FuncManError"),
    # Any text is "yes" there; the machine of the call's example is there already.
    ("kvmservices.create_vm_from_iso", "noapic_on_off"): is_error("FuncManError"),
    ("kvmservices.create_vm_from_iso", "noacpi_on_off"): is_error("FuncManError"),
}
"""Parameters that may be any text, and what the method says to one that it does not know."""


def expected(kind: Kind, param: Param) -> Says | None:
    """What a method says to any text in the place of that parameter; None where it may be no such thing at all."""
    says = ANY_TEXT.get((kind.facts.wire, param.name))
    return says or (is_refused if dict in _inside(param.type) else None)


LEGAL = {
    (method, name): ["v m1", "a:b"]
    for method, name in (
        ("funcservices.list_signed", "optional_tag_name"),
        ("tagservices.add_tag", "tag_name"),
        ("tagservices.remove_tag", "tag_name"),
        ("tagservices.list_tagged", "tag_name"),
        ("tagservices.edit_freeform_tag_name", "old_tag_name"),
        ("tagservices.edit_freeform_tag_name", "new_tag_name"),
        ("userservices.create_token", "label"),
        ("fleetservices.list_hosts", "tag"),
        ("fleetservices.list_guests", "tag"),
    )
} | {("tagservices.add_tag", "vm_name"): [""], ("tagservices.remove_tag", "vm_name"): [""]}
"""Texts of these that mean something there."""
BESIDE: dict[str, dict[str, Any]] = {
    "kvmservices.deploy_template_for_vm": {"template_name": "small", "kvm_name": "fresh"},
    "userservices.add_user": {"user_name": "admin"},
}
"""What the other parameters of a method must be, so that the one that is attacked is looked at."""


LEGAL.update(
    {
        ("netinterfaceservices.add_static_route", "gateway"): ["*"],
        ("netinterfaceservices.edit_static_route", "gateway_old"): ["*"],
        ("netinterfaceservices.edit_static_route", "gateway_new"): ["*"],
        ("netinterfaceservices.delete_static_route", "gateway"): ["*"],
    }
)


def _turns() -> dict[tuple[Kind, Param], int]:
    """Which parameter of its type each is, from 0 on."""
    seen: Counter[str] = Counter()
    turns = {}
    for kind in OPERATIONS:
        for param in calls.own(kind):
            turns[kind, param] = seen[repr(param.type)]
            seen[repr(param.type)] += 1
    return turns


TURNS = _turns()


@pytest.fixture(scope="module", autouse=True)
def template(watched: Watched) -> None:
    """A template whose disks are made ready, which goes on after the first that was said of it."""
    small_template(watched.directory / "storage" / "templates", "small").chmod(0o600)
    watched.honest.kvm("parse_template_for_vm", "small", "fresh")
    before, now = None, watched.snapshot()
    while before != now:
        time.sleep(0.5)
        before, now = now, watched.snapshot()


@pytest.mark.parametrize(("kind", "param"), calls.parameters())
def test_no_text_in_the_place_of_a_parameter_does_anything(watched: Watched, kind: Kind, param: Param) -> None:
    proof = watched.directory / "pwn"
    before, lines, made = watched.snapshot(), len(watched.audited()), 0
    with watched.connect(seconds=60) as connection:
        for value, answer in answers(connection, kind, param, watched.honest.sessid, proof):
            made += 1
            assert refused(answer, kind, param, value), (
                f"{value!r}: {answer}: where that is right, see ANY_TEXT and LEGAL"
            )
            shows_nothing(json.dumps(answer), str(watched.directory / "server"), watched.honest.sessid)
    after = watched.snapshot()
    if expected(kind, param) and kind.facts.changes:
        for state in (before, after):  # what a host refuses is a job with that outcome
            state["database"].pop("jobs")
            state.pop("journal")
    assert after == before
    written = watched.audited()[lines:]
    assert len(written) == made
    assert not [line for line in written if any(byte < 0x20 for byte in line)]
    assert not proof.exists()
    assert watched.serves_at_once()


def answers(
    connection: Connection, kind: Kind, param: Param, sessid: str, proof: Path
) -> Iterator[tuple[Any, Answer]]:
    """Each value with the answer to a call that has it in the place of the parameter."""
    texts = [*hostile.commands(proof), *hostile.options(proof), *hostile.NO_NAMES]
    if expected(kind, param):
        if issubclass(kind, HostOperation):
            texts = texts[::3]  # each is a job, and the host sees all of them through the same eyes
    elif turn := TURNS[kind, param]:
        texts = texts[turn % IN_TURNS :: IN_TURNS]
    legal = LEGAL.get((kind.facts.wire, param.name), [])
    values = iter([value for text in texts if text not in legal for value in forms(text, param.type)])
    while some := list(itertools.islice(values, IN_A_BATCH)):
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": kind.facts.wire, "params": params}
            for number, params in enumerate(called(kind, param, value, sessid) for value in some)
        ]
        reply = connection.ask("POST", "/", json.dumps(batch).encode())
        assert reply.status == 200, reply
        yield from zip(some, reply.json, strict=True)


def called(kind: Kind, param: Param, value: Any, sessid: str) -> dict[str, Any]:
    """The parameters of such a call."""
    params = calls.with_value(kind, param, value, sessid, NAME)
    beside = BESIDE.get(kind.facts.wire, {})
    return params | {name: other for name, other in beside.items() if name != param.name}


def forms(text: str, kind: Any) -> list[Any]:
    """The text, and the lists and settings that hold it where the parameter is of such a type."""
    inside = _inside(kind)
    lists = [[text]] if inside & {list, tuple} else []
    settings = [{"vcpu": text}, {text: "1"}] if dict in inside else []
    return [text, *lists, *settings]


def _inside(kind: Any) -> set[Any]:
    parts = [_inside(part) for part in typing.get_args(kind)]
    return {typing.get_origin(kind)}.union(*parts)


def refused(answer: Answer, kind: Kind, param: Param, value: Any) -> bool:
    """Whether a value is refused: as none that the parameter may be, or by what the method says."""
    if "error" in answer:
        data = answer["error"]["data"]
        assert data["name"] in published(kind.facts.wire)
        if (data["name"], data.get("parameter")) == ("ParameterMismatch", param.name):
            return True
    says = expected(kind, param)
    return says is not None and says(answer, value)
