"""A disk is full: what cannot be written down is refused by name and not done; all goes on when there is room."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.ordeal import OTHER, Ordeal
from tests.hosts.stack import Caller, CallFailed
from tests.waiting import until

pytestmark = pytest.mark.hosts
SECONDS = 3.0


@pytest.fixture
def caller(ordeal: Ordeal) -> Iterator[Caller]:
    with contextlib.closing(ordeal.oms.caller()) as caller:
        yield caller


def without_room_of_its_own(database: Path) -> None:
    """The file beside the database has room that is used again: give it back to the disk first."""
    with contextlib.closing(sqlite3.connect(database, timeout=10)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def refused(caller: Caller, host: str = "node1") -> CallFailed:
    with pytest.raises(CallFailed) as failure:
        caller.kvm("start_vm", "full" if host == "node1" else "elsewhere", host=host)
    return failure.value


@pytest.fixture
def machine(ordeal: Ordeal) -> Iterator[str]:
    with ordeal.machine("full") as name:
        yield name


def test_oms_has_no_room_for_a_change(ordeal: Ordeal, caller: Caller, machine: str) -> None:
    newest = caller.task("list_tasks")[:1]
    without_room_of_its_own(ordeal.oms.directory / "server" / "oms.db")
    with ordeal.disks["server"].full():
        for host in ("node1", OTHER):
            # The database says so, or else the audit log, which has to be written even of that.
            failure = refused(caller, host)
            assert (failure.name, failure.error["data"].get("cause")) in (
                ("DatabaseUpdateError", None),
                ("FuncManError", "audit"),
            )
            assert "nothing was changed" in str(failure).lower()
        with contextlib.closing(Caller(ordeal.oms.port)) as stranger, pytest.raises(CallFailed) as closed:
            stranger.log_in()
        assert closed.value.name in ("DatabaseUpdateError", "FuncManError")
    assert caller.kvm("list_vms_status")[machine]["state"] == "shutdown"
    assert caller.task("list_tasks")[:1] == newest
    assert caller.kvm("start_vm", machine) == 0
    ordeal.oms.caller().close()


def test_an_agent_has_no_room_for_a_change(ordeal: Ordeal, caller: Caller, machine: str) -> None:
    without_room_of_its_own(ordeal.oms.directory / "agent" / "journal.db")
    with ordeal.disks["agent"].full():
        failure = refused(caller)
        assert (failure.name, failure.error["data"]["cause"]) == ("FuncManError", "journal")
        assert "changes nothing" in str(failure)
        assert caller.kvm("list_vms_status")[machine]["state"] == "shutdown"
        assert caller.kvm("start_vm", "elsewhere", host=OTHER) == 0
        assert caller.kvm("stop_vm", "elsewhere", host=OTHER) == 0
    assert caller.kvm("start_vm", machine) == 0


@pytest.mark.parametrize("whose", ["server", "agent"])
def test_nobody_is_told_what_is_not_so_when_the_disk_gets_full_at_work(ordeal: Ordeal, whose: str) -> None:
    def trouble() -> None:
        asked = ordeal.beside("start_vm", ordeal.apart[0])
        until(lambda: ordeal.apart[0] in ordeal.processes(), "it was not begun")
        with ordeal.disks[whose].full():
            time.sleep(SECONDS)
        asked.answer()

    evidence = ordeal.during(trouble)
    assert evidence.told("error") + evidence.told("unknown")
    ordeal.judge(evidence)
