"""Each part of OMS is killed while several clients change things; nothing is lost, doubled or half-done."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import history
from tests.hosts.guests import domain_xml
from tests.hosts.history import History
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import CallFailed, Stack

pytestmark = pytest.mark.hosts
MACHINES = [f"m{number}" for number in range(4)]
SECONDS = 8.0
SEED = 20110204


@pytest.fixture
def daemon(make_libvirtd: Callable[[], PrivateLibvirtd]) -> PrivateLibvirtd:
    return make_libvirtd()


@pytest.fixture
def oms(daemon: PrivateLibvirtd, tmp_path: Path) -> Iterator[Stack]:
    virt = daemon.connect()
    for name in MACHINES:
        xml = domain_xml(name, memory_mb=32, vcpu=1, console=tmp_path / "console", disk=None, image=None)
        virt.defineXML(xml)
    virt.close()
    with Stack(tmp_path / "oms", daemon.uri) as stack:
        yield stack


def kill_now_and_then(kill: Callable[[], None]) -> None:
    chance, end = random.Random(SEED), time.monotonic() + SECONDS - 1
    while (rest := end - time.monotonic()) > 0:
        time.sleep(min(rest, chance.uniform(1.0, 2.5)))
        kill()


def healed(oms: Stack, daemon: PrivateLibvirtd, told: History, threads: list[Any]) -> None:
    for thread in threads:
        thread.join(90)
        assert not thread.is_alive(), "a client was never answered"
    oms.wait_for_server()
    with contextlib.closing(oms.caller()) as caller:
        oms.wait_for_host(caller)
        virt = daemon.connect()
        history.check(oms, told, virt, caller)
        virt.close()
    assert sum(asked.told == "ok" for asked in told.calls) >= 4, [vars(asked) for asked in told.calls]


@pytest.mark.parametrize("part", ["server", "agent", "nats"])
def test_a_killed_part_loses_and_doubles_nothing(oms: Stack, daemon: PrivateLibvirtd, part: str) -> None:
    told = History()
    with oms.kept("server", "agent"):
        threads = told.run(oms, MACHINES, SEED, SECONDS)
        kill_now_and_then(lambda: _kill(oms, part))
        healed(oms, daemon, told, threads)


def _kill(oms: Stack, part: str) -> None:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):  # it is just being started again
        oms.kill(part)


def test_a_killed_libvirtd_loses_and_doubles_nothing(oms: Stack, daemon: PrivateLibvirtd) -> None:
    told = History()
    threads = told.run(oms, MACHINES, SEED, SECONDS)

    def kill() -> None:
        daemon.kill()
        daemon.start()

    kill_now_and_then(kill)
    healed(oms, daemon, told, threads)


def test_without_libvirtd_only_its_calls_fail_and_say_why(oms: Stack, daemon: PrivateLibvirtd) -> None:
    with contextlib.closing(oms.caller()) as caller:
        daemon.kill()
        began = time.monotonic()
        with pytest.raises(CallFailed, match="libvirtd on this host does not answer"):
            caller.kvm("list_vms")
        assert caller.func("list_signed")[0]["status"] == 1
        assert time.monotonic() - began < 10
        daemon.start()
        oms.wait_for_host(caller)
