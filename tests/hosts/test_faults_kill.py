"""Several callers work while a part is killed at random moments: nobody is told what is not so."""

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hosts.history import Watcher
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.ordeal import Ordeal, left_behind
from tests.hosts.stack import CallFailed, Stack

pytestmark = pytest.mark.hosts
SECONDS = 13.0
PAUSE_SECONDS = (1.2, 3.0)


@pytest.fixture(scope="module")
def ordeal(real_parts: None) -> Iterator[Ordeal]:
    with tempfile.TemporaryDirectory(prefix="oms-faults-") as name:
        root = Path(name)
        with (
            PrivateLibvirtd(root / "virt") as libvirtd,
            Watcher(libvirtd) as watcher,
            Stack(root / "oms", libvirtd.uri) as oms,
        ):
            yield Ordeal(oms, libvirtd, watcher)
        assert left_behind(root) == []


def again_and_again(ordeal: Ordeal, kill: Callable[[], None]) -> Callable[[], None]:
    """Kill at random moments for a while."""

    def trouble() -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            kill()
            time.sleep(ordeal.random.uniform(*PAUSE_SECONDS))

    return trouble


def test_nothing_goes_wrong_when_nothing_goes_wrong(ordeal: Ordeal) -> None:
    """So that what the others find is known to come from the trouble."""
    evidence = ordeal.during(lambda: time.sleep(2))
    assert {call.told for call in evidence.calls} <= {"done", "error"}
    assert len(evidence.rows) > 10
    ordeal.judge(evidence)


def test_the_server_is_killed(ordeal: Ordeal) -> None:
    oms = ordeal.oms
    with oms.kept("server"):
        evidence = ordeal.during(again_and_again(ordeal, lambda: oms.kill("server")))
    assert "silence" in {call.told for call in evidence.calls}
    ordeal.judge(evidence)


def test_the_agent_is_killed(ordeal: Ordeal) -> None:
    def kill() -> None:
        ordeal.killed_agents += 1
        ordeal.oms.kill("agent")

    with ordeal.oms.kept("agent"):
        evidence = ordeal.during(again_and_again(ordeal, kill))
    assert ordeal.killed_agents > 3
    ordeal.judge(evidence)


def test_libvirtd_is_killed(ordeal: Ordeal) -> None:
    def kill() -> None:
        ordeal.libvirtd.kill()
        time.sleep(ordeal.random.uniform(0, 0.5))
        ordeal.libvirtd.start()

    evidence = ordeal.during(again_and_again(ordeal, kill))
    assert any("?" in seen for seen in evidence.effects.values())
    ordeal.judge(evidence)


def test_the_bus_is_killed(ordeal: Ordeal) -> None:
    def kill() -> None:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(ordeal.oms.pid("nats"), signal.SIGKILL)

    ordeal.judge(ordeal.during(again_and_again(ordeal, kill)))


def test_without_libvirtd_only_its_calls_fail_and_say_why(ordeal: Ordeal) -> None:
    with contextlib.closing(ordeal.oms.caller()) as caller:
        ordeal.libvirtd.kill()
        with pytest.raises(CallFailed, match="libvirtd on this host does not answer"):
            caller.kvm("list_vms")
        assert caller.func("list_signed")[0]["status"] == 1
        ordeal.libvirtd.start()
        ordeal.oms.wait_for_host(caller)
