"""Statistics over the wire: of an agent that measures, and of one that asks Debian's zabbix-agent."""

import contextlib
import http.client
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.free_port import free_port
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import NAME, Caller, CallFailed, Stack
from tests.hosts.zabbix_agent import why_not, zabbix_agent

pytestmark = pytest.mark.hosts
WITH_ZABBIX = "node2"


@pytest.fixture(scope="module")
def zabbix(real_parts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Zabbix agent that does not tell how long the host is up."""
    if reason := why_not():
        pytest.skip(reason)
    with zabbix_agent(tmp_path_factory.mktemp("zabbix"), "DenyKey=system.uptime") as port:
        yield port


@pytest.fixture(scope="module")
def oms(libvirtd: PrivateLibvirtd, zabbix: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("oms"), libvirtd.uri) as stack:
        stack.join(WITH_ZABBIX, stats="zabbix", zabbix_agent=f"127.0.0.1:{zabbix}")
        yield stack


def told(caller: Caller, method: str, *params: Any, host: str = NAME, age: int = 0) -> Any:
    return caller.call("statsservices", method, caller.sessid, age, host, *params)


def test_a_call_costs_no_measurement(caller: Caller) -> None:
    """All is there already: two calls are told the same second's figures, or the next one's."""
    began = time.monotonic()
    for _ in range(20):
        told(caller, "get_stats")
    assert time.monotonic() - began < 10


def test_zabbix_tells_what_the_host_measures(caller: Caller) -> None:
    names = [name for name in told(caller, "get_stats") if name not in ("uptime", "osrelease")]
    own, zabbix = (told(caller, "get_stats", *names, host=host) for host in (NAME, WITH_ZABBIX))
    for unsteady in ("cpu", "iowait"):
        for stats in (own, zabbix):
            assert 0 <= float(stats[unsteady].pop("percentage")) <= 100
    assert zabbix["cpu"].pop("cpu_mhz")
    assert own["cpu"].pop("cpu_mhz")
    assert own["memory"]["total"] == zabbix["memory"]["total"]
    assert abs(float(own["memory"]["percentage"]) - float(zabbix["memory"]["percentage"])) < 5
    assert [mount["mount"] for mount in own["df"]["details"]] == [m["mount"] for m in zabbix["df"]["details"]]
    assert (own["df"]["total"], list(own)) == (zabbix["df"]["total"], list(zabbix))
    assert own["bandwidth"]["maximum"] == zabbix["bandwidth"]["maximum"]
    assert isinstance(zabbix["bandwidth"]["received"], int)
    for stats in (own, zabbix):
        for unsteady in ("df", "memory", "bandwidth"):
            stats.pop(unsteady)
    assert own == zabbix


def test_what_zabbix_does_not_offer_is_refused_by_its_item(caller: Caller) -> None:
    with pytest.raises(CallFailed, match=r"ZabbixAgentNotSupportedError.*system\.uptime") as refused:
        told(caller, "get_stats", "uptime", host=WITH_ZABBIX)
    assert refused.value.error["data"]["item"] == "system.uptime"
    assert told(caller, "get_stats", "kernel", host=WITH_ZABBIX)["kernel"] == os.uname().release


def test_a_zabbix_agent_that_is_not_there_is_said(oms: Stack, caller: Caller) -> None:
    oms.join("node3", stats="zabbix", zabbix_agent=f"127.0.0.1:{free_port()}")
    with pytest.raises(CallFailed, match="NoFuncZabbixClientError: The host's Zabbix agent at"):
        told(caller, "get_stats", host="node3")
    assert told(caller, "get_history", 60, "auto", host="node3")["step_seconds"] == 1


def test_prometheus_is_told_of_the_fleet_by_who_has_the_token(oms: Stack, caller: Caller) -> None:
    """What each agent measured is there within seconds, and the call before is counted."""
    command = [sys.executable, "-m", "oms", "admin", "metrics-token", "--data", str(oms.directory)]
    said = subprocess.run(command, text=True, check=True, capture_output=True).stdout
    headers = {"Authorization": f"Bearer {said.split()[-1]}"}
    told(caller, "get_stats")
    end = time.monotonic() + 10
    wanted = [f'oms_host_cpus{{host="{host}"}} {float(os.cpu_count() or 0)}' for host in (NAME, WITH_ZABBIX)]
    while not all(line in (text := _page(oms, headers)).splitlines() for line in wanted):
        assert time.monotonic() < end, text
        time.sleep(0.2)
    assert f'oms_host_guests{{host="{NAME}",hypervisor="kvm",state="running"}} 0.0' in text
    assert 'oms_calls_total{method="statsservices.get_stats",outcome="ok"}' in text
    assert "oms_bus_connected 1.0" in text
    assert "Bearer" in _page(oms, {})


def _page(oms: Stack, headers: dict[str, str]) -> str:
    context = ssl.create_default_context(cafile=oms.directory / "server" / "tls" / "pinned-ca.crt")
    connection = http.client.HTTPSConnection("localhost", oms.port, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers=headers)
        return connection.getresponse().read().decode()


def test_minutes_outlive_an_agent_that_is_killed_and_seconds_do_not(oms: Stack, caller: Caller) -> None:
    end = time.monotonic() + 10
    while not _measured(told(caller, "get_history", 60, "1s", "load")):
        assert time.monotonic() < end
        time.sleep(0.2)
    oms.kill("agent", 15)
    oms.processes["agent"].wait()
    oms.start("agent")
    oms.wait_for_host(caller)
    assert _measured(told(caller, "get_history", 120, "1m", "load"))
    assert Path(oms.directory / "agent" / "history.60s").stat().st_size < 300_000


def _measured(past: dict[str, Any]) -> list[float]:
    return [value for value in past["series"]["load"]["average"] if value is not None]
