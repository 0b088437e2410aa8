"""`oms up` and what it starts, killed in turn: nothing runs twice, and nothing but machines lives on for good."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from tests.free_port import free_port
from tests.hosts.enclosure import ENVIRONMENT, Enclosure
from tests.hosts.kvm_machines import small_xml
from tests.hosts.libvirtd import QEMU_CONF
from tests.hosts.stack import NAME, NO_ANSWER, PASSWORD, Caller, CallFailed
from tests.waiting import until

pytestmark = pytest.mark.hosts
OWN = ["agent", "nats-server", "server", "signer", "up"]
SERVED = [*OWN, "libvirtd", "virtlogd"]
MACHINE = "qemu-system-x86_64"
SIGNER = "oms-ca:x:64123:64123::/nonexistent:/usr/sbin/nologin\n"


class Up:
    """One machine of its own, and `oms up` on it."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_port()
        self.libvirt_uri = f"qemu+unix:///system?socket={root / 'run/libvirt/libvirt-sock'}"
        self._environment = {
            **ENVIRONMENT,
            "OMS_DATA": str(root / "oms"),
            "OMS_LISTEN": f"127.0.0.1:{self.port}",
            "OMS_BUS_LISTEN": f"127.0.0.1:{free_port()}",
            "OMS_CONSOLES_LISTEN": f"127.0.0.1:{free_port()}",
            "OMS_ADMIN_PASSWORD": PASSWORD,
            "OMS_LOGIN_DELAY": "0.1",
            "OMS_AGENT_NAME": NAME,
            "OMS_AGENT_DOMAIN_TYPE": "qemu",
            "OMS_AGENT_AUTHORIZED_KEYS": "",
            "OMS_AGENT_RECONNECT_DELAY": "0.2",
        }
        (root / "etc").mkdir()
        # Machines' output goes through virtlogd, as it does where nobody says otherwise.
        (root / "etc/qemu.conf").write_text(QEMU_CONF.replace('stdio_handler = "file"', ""))
        self._enclosure = Enclosure(root)
        self._started: list[subprocess.Popen[bytes]] = []
        self._users()

    def _users(self) -> None:
        """The signer gets an account of its own, as where OMS was installed as a package."""
        for name in ("passwd", "group"):
            file = self.root / name
            file.write_text(Path("/etc", name).read_text() + (SIGNER if name == "passwd" else ""))
            subprocess.run(self._enclosure.command("mount", "--bind", str(file), f"/etc/{name}"), check=True)

    def start(self) -> None:
        """Start it; it may take its time."""
        with (self.root / "said").open("ab") as log:
            self._started.append(
                subprocess.Popen(
                    self._enclosure.command(sys.executable, "-m", "oms", "up"),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                )
            )

    def close(self) -> None:
        self._enclosure.close()
        for process in self._started:
            process.wait(60)

    def running(self) -> dict[str, list[int]]:
        """The process ids of what runs, by kind."""
        found: dict[str, list[int]] = {}
        for pid, words in self._enclosure.processes().items():
            word = words[3] if words[1:3] == ["-m", "oms"] else Path(words[0]).name
            found.setdefault(word, []).append(pid)
        return dict(sorted(found.items()))

    def kill(self, *kinds: str, number: int = signal.SIGKILL) -> None:
        for pid in [pid for kind, pids in self.running().items() if kind in kinds for pid in pids]:
            os.kill(pid, number)

    def caller(self) -> Caller:
        """A client, once this machine can be asked."""
        caller = Caller(self.port, 20)

        def answers() -> bool:
            try:
                caller.log_in()
                caller.kvm("list_vms_status")
            except (CallFailed, *NO_ANSWER):
                return False
            return True

        self.until(answers)
        return caller

    def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        until(true, lambda: f"{self.running()} {(self.root / 'said').read_text()[-3000:]}", seconds)


@pytest.fixture
def up(real_parts: None) -> Iterator[Up]:
    with tempfile.TemporaryDirectory(prefix="oms-up-") as name:
        root = Path(name)
        root.chmod(0o755)  # the signer's account has to reach its own directory
        with contextlib.closing(Up(root)) as it:
            yield it


def only_one_of_each(up: Up, instead_of: dict[str, list[int]] | None = None) -> None:
    """One of each is what is left, and nothing of what ran before but libvirt and machines.

    What is told to end takes a moment for it, and its successor is there by then.
    """
    ended = {pid for kind in OWN for pid in (instead_of or {}).get(kind, [])}

    def settled() -> bool:
        running = up.running()
        alone = {kind: len(pids) for kind, pids in running.items()} == dict.fromkeys([*SERVED, MACHINE], 1)
        return alone and not ended & {pid for pids in running.values() for pid in pids}

    up.until(settled)


def test_whatever_is_killed_nothing_runs_twice_and_nothing_but_machines_stays(up: Up) -> None:
    up.start()
    with contextlib.closing(up.caller()) as caller:
        virt = libvirt.open(up.libvirt_uri)
        virt.defineXML(small_xml("m"))
        virt.close()
        assert caller.kvm("start_vm", "m") == 0
    only_one_of_each(up)
    before = up.running()
    machine = before[MACHINE]

    up.kill("agent")
    up.until(lambda: up.running().get("agent", before["agent"]) != before["agent"])
    up.caller().close()
    only_one_of_each(up)
    assert {kind for kind, pids in up.running().items() if pids != before[kind]} == {"agent"}

    up.kill("libvirtd")  # which the new agent did not start: it is kept all the same
    up.until(lambda: up.running().get("libvirtd", before["libvirtd"]) != before["libvirtd"])
    up.caller().close()

    up.kill("up")
    up.until(lambda: up.running() == {MACHINE: machine})

    up.start()
    up.caller().close()
    before = up.running()
    up.kill("up")
    up.start()  # at once, as a service manager does
    only_one_of_each(up, instead_of=before)
    up.caller().close()

    up.kill("up", "signer", "server", "agent", "nats-server")
    up.until(lambda: sorted(up.running()) == ["libvirtd", MACHINE, "virtlogd"])
    up.start()
    with contextlib.closing(up.caller()) as caller:
        assert caller.kvm("list_vms_status")["m"]["state"] == "running"
    only_one_of_each(up)

    up.kill("up", number=signal.SIGTERM)
    up.until(lambda: up.running() == {MACHINE: machine})
