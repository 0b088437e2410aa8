"""A part stands still while several callers work: calls that do not need it go on, nobody is told what is not so,
and all is well when the part goes on or was replaced."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.hosts.hasty import CHANGE_SECONDS
from tests.hosts.ordeal import OTHER, Ordeal
from tests.hosts.stack import Caller, CallFailed
from tests.waiting import until

pytestmark = pytest.mark.hosts
ANSWER_SECONDS = 5.0
"""Less than any part hangs here: who is answered within it was not held up."""


@contextlib.contextmanager
def others(ordeal: Ordeal) -> Iterator[Caller]:
    """A caller who does not wait long."""
    with contextlib.closing(ordeal.oms.caller(ANSWER_SECONDS)) as caller:
        yield caller


def other_host_is_as_ever(caller: Caller) -> None:
    assert waited_for(caller, "start_vm") == 0
    assert caller.kvm("list_vms_status", host=OTHER)["elsewhere"]["state"] == "running"
    assert waited_for(caller, "stop_vm") == 0


def waited_for(caller: Caller, method: str) -> int:
    """This OMS is hasty: on a busy machine it may be asked again, as it says, to be waited on."""
    for _ in range(10):
        try:
            return int(caller.kvm(method, "elsewhere", host=OTHER))
        except CallFailed as failure:
            assert failure.name == "FuncMethodTimeoutError", failure  # noqa: PT017 - anything else fails
    raise AssertionError(f"{method} does not come to an end")


def oms_answers_by_itself(ordeal: Ordeal, caller: Caller) -> None:
    assert {host["name"] for host in caller.func("list_signed")} == {"node1", OTHER}
    newest = caller.task("list_tasks")[0]
    assert caller.task("get_task", newest["id"])["id"] == newest["id"]
    ordeal.oms.caller(ANSWER_SECONDS).close()  # who logs in


def test_the_server_hangs(ordeal: Ordeal) -> None:
    machine = ""

    def trouble() -> None:
        nonlocal machine
        machine = ordeal.apart[0]
        asked = ordeal.beside("start_vm", machine)
        until(lambda: ordeal.entries(machine), "the agent was not asked")
        with ordeal.oms.hung("server"):
            # What a host has begun goes on without OMS.
            until(lambda: ordeal.entries(machine)[-1]["state"] == "done", "the agent did not do it")
            assert machine in ordeal.processes()
            time.sleep(CHANGE_SECONDS)
        assert asked.answer().told in ("done", "unknown")

    evidence = ordeal.during(trouble)
    assert not evidence.told("silence")
    ordeal.judge(evidence)


def test_the_bus_hangs_and_is_replaced(ordeal: Ordeal) -> None:
    def trouble() -> None:
        before = ordeal.oms.pid("nats")
        with ordeal.oms.hung("nats"), others(ordeal) as caller:
            oms_answers_by_itself(ordeal, caller)
            until(lambda: ordeal.oms.pid("nats") != before, "nobody noticed", 30)

    evidence = ordeal.during(trouble)
    assert evidence.told("unknown")
    ordeal.judge(evidence)


def test_the_agent_hangs_and_does_not_do_later_what_is_too_late(ordeal: Ordeal) -> None:
    def trouble() -> None:
        machine = ordeal.apart[0]
        with ordeal.oms.hung("agent"), others(ordeal) as caller:
            asked = ordeal.beside("start_vm", machine)
            oms_answers_by_itself(ordeal, caller)
            other_host_is_as_ever(caller)
            told = asked.answer()
            assert told.told == "unknown"
            task = caller.task("get_task", told.error["data"]["job"])
            assert task["state"] in ("queued", "sent")
            time.sleep(1)
        with contextlib.closing(ordeal.oms.caller()) as caller:
            task = caller.task("wait_task", task["id"], 60)
            assert (task["state"], task["error"]["name"]) == ("failed", "FuncManError")
            assert "nothing was done" in task["error"]["message"]
            assert caller.kvm("list_vms_status")[machine]["state"] == "shutdown"

    ordeal.judge(ordeal.during(trouble))


def test_libvirtd_hangs(ordeal: Ordeal) -> None:
    def trouble() -> None:
        with ordeal.libvirtd.hung(), others(ordeal) as caller:
            began = time.monotonic()
            oms_answers_by_itself(ordeal, caller)
            other_host_is_as_ever(caller)
            assert caller.func("describe_host", "node1")["name"] == "node1"
            with (
                contextlib.closing(ordeal.oms.caller()) as patient,
                pytest.raises(CallFailed, match=r"libvirtd on this host (did|does) not answer"),
            ):
                patient.kvm("list_vms")
            time.sleep(max(0.0, began + 10 - time.monotonic()))  # until the agent has given its connections up
        assert ordeal.oms.processes["agent"].poll() is None, "the agent did not outlive it"

    evidence = ordeal.during(trouble)
    assert evidence.told("unknown")
    ordeal.judge(evidence)
