"""Several callers work while a part is killed at random moments: nobody is told what is not so."""

import contextlib
import time
from collections.abc import Callable

import pytest

from tests.hosts.ordeal import OTHER, Ordeal
from tests.hosts.stack import CallFailed
from tests.waiting import until

pytestmark = pytest.mark.hosts
KILLS = 5
PAUSE_SECONDS = (0.3, 1.5)


def again_and_again(ordeal: Ordeal, part: str) -> Callable[[], None]:
    """Kill a part at random moments: some time after all is at work again, or while it is still starting."""

    def trouble() -> None:
        for number in range(KILLS):
            ordeal.kill(part)
            if number % 2 == 0:
                ordeal.works(jobs=2)
            time.sleep(ordeal.random.uniform(*PAUSE_SECONDS))

    return trouble


def test_nothing_goes_wrong_when_nothing_goes_wrong(ordeal: Ordeal) -> None:
    """So that what the others find is known to come from the trouble."""
    evidence = ordeal.during(lambda: ordeal.works(jobs=11))
    assert not evidence.told("unknown")
    assert len(evidence.rows) > 10
    ordeal.judge(evidence)


@pytest.mark.parametrize("part", ["server", "agent", "nats", "libvirtd"])
def test_nothing_is_lost_doubled_or_half_done_when_it_is_killed(ordeal: Ordeal, part: str) -> None:
    with ordeal.oms.kept("server", "agent"):
        evidence = ordeal.during(again_and_again(ordeal, part))
    assert evidence.killed[part] == KILLS
    assert len(evidence.told("done")) > 2
    ordeal.judge(evidence)


def test_a_change_in_whose_midst_libvirtd_dies_goes_on_when_it_is_back(ordeal: Ordeal) -> None:
    ordeal.judge(ordeal.during(lambda: die_in_the_midst(ordeal)))


def die_in_the_midst(ordeal: Ordeal) -> None:
    with contextlib.closing(ordeal.oms.caller()) as caller:
        task = killed_in_a_start(ordeal)
        until(lambda: "hypervisor" in caller.task("get_task", task)["notes"], "it does not say what it waits for")
        assert caller.task("get_task", task)["state"] == "running"
        with pytest.raises(CallFailed, match="libvirtd on this host does not answer"):
            caller.kvm("list_vms")
        assert [host["status"] for host in caller.func("list_signed")] == [1, 1]
        assert caller.kvm("list_vms", host=OTHER)[0]["name"] == "elsewhere"
        ordeal.libvirtd.start()
        ended = caller.task("wait_task", task, 60)
        # What the killed libvirtd left behind may make the start fail after all: then that is how it ended, and
        # the records, the machine and the disks are held to it.
        assert ended["state"] in ("done", "failed"), ended
        assert "went on" in ended["notes"]["hypervisor"]


def killed_in_a_start(ordeal: Ordeal) -> str:
    """Kill libvirtd while it is starting a machine; answers the task of that start."""
    machine = ordeal.apart[0]
    for _ in range(20):
        asked = ordeal.beside("start_vm", machine)
        until(lambda: machine in ordeal.processes(), "the machine has no process")
        with ordeal.libvirtd.hung():
            time.sleep(0.5)  # for an answer that was on its way already
            entry = ordeal.entries(machine)[-1]
            if entry["state"] == "running":
                ordeal.libvirtd.kill()
                return str(entry["id"])
        asked.answer()
        ordeal.beside("stop_vm", machine).answer()
    raise AssertionError("each start was quicker than this test")
