"""Machines that move between two real hosts, by HTTPS, server, bus, agents, libvirt and qemu."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.movers import ENDED, OTHER, Movers, count, movers
from tests.hosts.stack import NAME, Caller

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def both(libvirtd: PrivateLibvirtd, second_libvirtd: PrivateLibvirtd) -> Iterator[Movers]:
    with movers(libvirtd, second_libvirtd) as made:
        yield made


@pytest.fixture(autouse=True)
def cleared(both: Movers) -> Iterator[None]:
    yield
    both.clear()


@pytest.fixture
def caller(both: Movers) -> Iterator[Caller]:
    with contextlib.closing(both.oms.caller()) as made:
        yield made


def test_a_running_machine_goes_on_at_the_other_host_with_its_disk(both: Movers, caller: Caller) -> None:
    disk = both.machine("web", "qcow2", filled_mb=2)
    before = count(disk, "qcow2")
    both.move(caller, "web")
    moved = both.there.images / disk.name
    both.wait(lambda: count(moved, "qcow2")[1] > before[1] + 10, "it does not count there")
    assert count(moved, "qcow2")[0] == before[0], "it was started anew"
    assert both.where("web") == OTHER
    assert both.here.domain("web") is None
    assert both.here.files() == set()
    assert caller.kvm("list_file_based_images", host=OTHER) == [disk.name]


def test_one_that_is_off_moves_with_its_files_and_back(both: Movers, caller: Caller) -> None:
    disk = both.machine("off", "qcow2", filled_mb=1, running=False)
    content = both.content(disk)
    domain = both.here.domain("off")
    assert domain is not None
    domain.setAutostart(1)
    caller.tag("add_tag", "web", NAME, "off")
    both.move(caller, "off")
    assert [(found["host"], found["name"]) for found in caller.tag("list_tagged", "web")] == [(OTHER, "off")]
    assert [machine["tags"] for machine in caller.kvm("list_vms", "tag:web", host=OTHER)] == [["web"]]
    moved = both.there.domain("off")
    assert moved is not None
    assert (moved.isActive(), moved.isPersistent(), moved.autostart()) == (0, 1, 1)
    assert both.content(both.there.images / disk.name) == content
    assert (both.here.domain("off"), both.here.files()) == (None, set())
    assert caller.kvm("list_file_based_images", host=OTHER) == [disk.name]
    both.move_back(caller, "off")
    assert both.content(disk) == content
    caller.kvm("start_vm", "off")
    both.wait(lambda: count(disk, "qcow2")[1] > 0, "it does not boot")
    assert [found["host"] for found in caller.tag("list_tagged", "web")] == [NAME]
    caller.kvm("delete_vm", "off")
    assert caller.tag("list_tagged", "web") == []
    assert both.here.files() | both.there.files() == set()


def test_a_paused_one_stays_so(both: Movers, caller: Caller) -> None:
    both.machine("paused")
    caller.kvm("suspend_vm", "paused")
    both.move(caller, "paused")
    assert both.state_there("paused") == "paused"
    caller.kvm("resume_vm", "paused", host=OTHER)
    assert both.where("paused") == OTHER


def test_cancelled_it_runs_on_and_nothing_is_left_there(both: Movers, caller: Caller) -> None:
    disk = both.machine("kept", filled_mb=12)
    both.slow("kept")
    job = both.begin(caller, "kept")
    both.wait(lambda: caller.task("get_task", job)["progress"] > 0, "no progress is told")
    assert both.there.domain("kept") is not None
    caller.task("cancel_task", job)
    assert both.ended(caller, job)["state"] == "cancelled"
    both.stays("kept", disk)
    assert both.task(caller, "agent.receive_machine")["state"] == "cancelled"


@pytest.mark.parametrize("killed", [("agent",), ("agent", OTHER), ("server",)])
def test_killed_while_it_goes_over_it_runs_in_one_place(
    both: Movers, caller: Caller, killed: tuple[str, ...]
) -> None:
    disk = both.machine("hit", filled_mb=12)
    both.slow("hit")
    job = both.begin(caller, "hit")
    both.wait(lambda: caller.task("get_task", job)["progress"] > 0, "it does not begin")
    for process in killed:
        both.oms.kill(process)
    for process in killed:
        both.oms.start(process)
    both.oms.wait_for_server()
    with contextlib.closing(both.oms.caller()) as again:
        task = both.ended(again, job, 90)
        if killed == ("server",):
            assert task["state"] == "done"
            assert both.where("hit") == OTHER
            assert both.here.files() == set()
        else:
            assert task["state"] == "failed"
            both.stays("hit", disk)
        both.wait(
            lambda: both.task(again, "agent.receive_machine")["state"] in ENDED, "the other side does not end"
        )
    assert both.here.files() | both.there.files() == {"images/hit.img"}
