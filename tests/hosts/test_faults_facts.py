"""OMS knows within seconds what has happened to a host, because it is told: nobody asks by the clock."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hosts.ordeal import Ordeal
from tests.hosts.stack import Caller
from tests.waiting import until

pytestmark = pytest.mark.hosts
KNOWN_SECONDS = 20.0
"""A moment, on a machine that has nothing else to do."""
QUIET_SECONDS = 5.0


@pytest.fixture
def caller(ordeal: Ordeal) -> Iterator[Caller]:
    with contextlib.closing(ordeal.oms.caller()) as caller:
        yield caller


@pytest.fixture
def host(caller: Caller) -> Callable[[str], Any]:
    """What OMS knows of the first host."""

    def known(field: str) -> Any:
        return next(host[field] for host in caller.func("list_signed") if host["name"] == "node1")

    return known


def soon(true: Callable[[], bool]) -> None:
    until(true, f"not known within {KNOWN_SECONDS} s", KNOWN_SECONDS)


def test_what_happens_to_machines_and_agents_is_known_soon(ordeal: Ordeal, host: Callable[[str], Any]) -> None:
    with ordeal.machine("outside"):
        soon(lambda: host("vmcount") == ordeal.how_many())
        ordeal.oms.kill("agent")
        soon(lambda: host("status") == 0)
    connected = ordeal.oms.log("agent", 10**9).count("connected to the bus")
    ordeal.oms.start("agent")
    until(
        lambda: ordeal.oms.log("agent", 10**9).count("connected to the bus") > connected, "it does not connect", 60
    )
    soon(lambda: host("status") == 1)
    soon(lambda: host("vmcount") == ordeal.how_many())  # what happened meanwhile is known too


def test_nobody_asks_libvirtd_while_nothing_happens(ordeal: Ordeal, caller: Caller) -> None:
    def asked() -> list[str]:
        return re.findall(r"remoteDispatch(\w+)Helper", ordeal.libvirtd.log.read_text(errors="replace"))

    ordeal.oms.wait_for_host(caller)
    time.sleep(1)  # what the last test left is over
    before = len(asked())
    caller.kvm("list_vms_status")
    assert "ConnectListAllDomains" in asked()[before:]  # asked each time: what is asked is seen
    before = len(asked())
    time.sleep(QUIET_SECONDS)
    assert asked()[before:] == []
