"""`oms sim` beside a real OMS: hosts that are not there enrol, are signed, and do what hosts do."""

import contextlib
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import OMS, environment, oms
from tests.cli.served import Up
from tests.hosts.stack import PASSWORD, Caller, CallFailed
from tests.waiting import until

HOSTS, GUESTS = 24, 4
HUNG, FLAPPING, EXPIRED, WELL = "sim-0001", "sim-0002", "sim-0003", "sim-0024"
TROUBLED = ("--hung", "1", "--flapping", "1", "--expired", "1")


class Sim:
    """A running `oms sim --sign`, by the session of a login of its own."""

    def __init__(self, data: Path, *words: str) -> None:
        self.said: list[str] = []
        command = [*OMS, "sim", "--sign", "--data", str(data / "hosts"), *words]
        self._process = subprocess.Popen(
            command, env=_home(data), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self.said.extend(line.rstrip("\n") for line in lines)

    def text(self) -> str:
        return "\n".join(self.said)

    def connected(self) -> int:
        found = re.findall(rf"^{HOSTS} are signed, (\d+) connected", self.text(), re.MULTILINE)
        return int(found[-1]) if found else 0

    def end(self) -> int:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        code = self._process.wait(30)
        self._reader.join()
        return code


def _home(data: Path) -> dict[str, str]:
    return environment(XDG_STATE_HOME=str(data / "state"), XDG_CONFIG_HOME=str(data / "config"))


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """Not tmp_path: the path of a socket in it has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="oms-sim-") as name:
        data = Path(name) / "oms"
        with Up(data, OMS_ADMIN_PASSWORD=PASSWORD, OMS_NEW_HOSTS_A_MINUTE="1000") as running:
            login = ("login", running.shown("Address"), "--ca-sha256", running.shown("CA fingerprint"))
            done = oms(*login, "--user", "admin", stdin=f"{PASSWORD}\n", more=_home(running.data))
            assert done.code == 0, done.err
            yield running


@pytest.fixture(scope="module")
def sim(up: Up) -> Iterator[Sim]:
    running = Sim(up.data, "--hosts", str(HOSTS), "--guests", str(GUESTS), *TROUBLED)
    try:
        until(lambda: running.connected() >= HOSTS - 2 or running._process.poll() is not None, running.text)
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def caller(up: Up, sim: Sim) -> Iterator[Caller]:
    assert sim.connected() >= HOSTS - 2, sim.text()
    with contextlib.closing(up.log_in(PASSWORD)) as logged_in:
        yield logged_in


def test_all_of_them_are_signed_and_those_that_do_well_are_connected(caller: Caller) -> None:
    signed = {host["name"]: host for host in caller.func("list_signed") if host["name"].startswith("sim-")}
    assert set(signed) == {f"sim-{number:04}" for number in range(1, HOSTS + 1)}
    assert [name for name, host in signed.items() if not host["status"] and name != FLAPPING] == [EXPIRED]
    assert signed[WELL]["vmcount"] == GUESTS
    facts = caller.func("describe_host", WELL)["facts"]
    assert facts["hypervisors"] == ["kvm", "openvz"]
    assert facts["cpus"] >= 16


def test_guests_are_listed_measured_started_stopped_and_changed_like_others(caller: Caller) -> None:
    machines = caller.kvm("list_vms", "cpu", "memory", "df", "network", host=WELL)
    containers = caller.call("ovzservices", "list_vms", caller.sessid, 0, WELL, "memory")
    assert (len(machines), len(containers)) == (3, 1)
    name = machines[0]["name"]
    for act, state in (("stop_vm", "shutdown"), ("start_vm", "running")):
        assert caller.kvm(act, name, host=WELL) == 0
        assert caller.kvm("list_vms_status", host=WELL)[name]["state"] == state
    assert caller.kvm("update_vm_settings", name, {"vcpu": "1"}, host=WELL) == {}
    assert caller.kvm("parse_vm_settings", name, host=WELL)["vcpu"] == "1"
    smaller = ("1003", {"memory": "512"})
    assert caller.call("ovzservices", "update_vm_settings", caller.sessid, 0, WELL, *smaller) == {}
    stats = caller.call("statsservices", "get_stats", caller.sessid, 0, WELL)
    assert 0 < float(stats["cpu"]["percentage"]) < 100
    history = caller.call("statsservices", "get_history", caller.sessid, 0, WELL, 3600, "1m")
    assert None not in history["series"]["cpu"]["average"]


def test_nothing_of_the_machine_below_is_shown_or_changed(caller: Caller) -> None:
    with pytest.raises(CallFailed, match=r"This host is simulated"):
        caller.net("list_bridges", host=WELL)
    with pytest.raises(CallFailed, match=r"This host is simulated"):
        caller.net("add_bridge", "vmbr9", "10.9.9.9", "255.255.255.0", "10.9.9.1", host=WELL)


def test_it_ends_by_ctrl_c(sim: Sim) -> None:
    assert sim.end() == 0


def test_more_hosts_with_trouble_than_hosts_are_refused(tmp_path: Path) -> None:
    done = oms("sim", "--hosts", "2", "--slow", "2", "--hung", "1", "--data", tmp_path)
    assert (done.code, done.last) == (2, "oms: 3 hosts are to have trouble, of 2: give a higher --hosts.")
