"""Several servers behind haproxy, which runs by the very configuration that docs/scaling.md has.

Servers and haproxy have addresses of their own on loopback, as on machines of their own, so that all listen at the
same ports.
"""

import csv
import random
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import ClassVar

from tests.free_port import BELOW_EPHEMERAL, free_port
from tests.hosts.several import Several
from tests.hosts.stack import NAME as HOST
from tests.hosts.stack import Caller
from tests.waiting import until

HAPROXY = Path("/usr/sbin/haproxy")
PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
NAME = "oms.example.org"
ROW = 10
"""So many ports for screens, and as many for terminals behind them."""


class Balanced(Several):
    """Servers s1 and s2, a nats-server, node1; `front` is the address of haproxy, by which all know them."""

    servers: ClassVar = ("s1", "s2")
    nodes: ClassVar = ("b1",)
    last = (*nodes, "signer")

    def __init__(self, directory: Path, libvirt_uri: str, database: str, **agent_settings: str) -> None:
        super().__init__(directory, libvirt_uri, database, **agent_settings)
        net = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.front = f"{net}.1"
        self._asked = directory / "haproxy.sock"
        self.port, self.pages_port = free_port(), free_port()
        self.first = random.SystemRandom().choice(range(BELOW_EPHEMERAL.start, BELOW_EPHEMERAL.stop, 2 * ROW))
        self.ports = dict.fromkeys(self.servers, self.port)
        self.addresses = {name: f"{net}.{number}" for number, name in enumerate(self.servers, 2)}
        self._environment |= {
            "OMS_NAMES": f"{NAME},{self.front}",
            "OMS_VNC_PORTS": f"{self.first}-{self.first + ROW - 1}",
            "OMS_SSH_PORTS": f"{self.first + ROW}-{self.first + 2 * ROW - 1}",
        }
        for name, address in self.addresses.items():
            self._others[name] |= {
                "OMS_LISTEN": f"{address}:{self.port}",
                "OMS_CONSOLES_LISTEN": f"{address}:{self.pages_port}",
            }

    def __enter__(self) -> "Balanced":
        self._logs.mkdir(parents=True, exist_ok=True)
        file = self.directory / "haproxy.cfg"
        file.write_text(f"global\n  stats socket {self._asked}\n\n{self._configuration()}")
        checked = subprocess.run([HAPROXY, "-c", "-f", file], capture_output=True, text=True, check=False)
        assert (checked.returncode, "WARNING" in checked.stderr) == (0, False), checked.stderr
        with (self._logs / "haproxy.log").open("wb") as log:
            self._haproxy = subprocess.Popen([HAPROXY, "-db", "-f", file], stdout=log, stderr=log)
        try:
            super().__enter__()
        except BaseException:
            self._end_haproxy()
            raise
        return self

    def close(self) -> None:
        super().close()
        self._end_haproxy()

    def _end_haproxy(self) -> None:
        self._haproxy.send_signal(signal.SIGTERM)
        self._haproxy.wait(20)

    def _configuration(self) -> str:
        (text,) = re.findall(r"```text\n(defaults\n.*?)```", PAGE.read_text(), re.DOTALL)
        ports = {
            "8000": self.port,
            "8002": self.pages_port,
            "6800-6999": f"{self.first}-{self.first + 2 * ROW - 1}",
        }
        for documented, ours in ports.items():
            assert f":{documented}" in text
            text = re.sub(rf":{documented}\b", f":{ours}", text)
        for number, address in enumerate(self.addresses.values(), 1):
            text = text.replace(f"oms{number}.example.org", address)
        return re.sub(r"(?<=[ ,]):(?=[0-9])", f"{self.front}:", text)

    def sign_in(self, name: str = HOST) -> None:
        until(lambda: self.taken() == set(self.servers))
        super().sign_in(name)

    def taken(self) -> set[str]:
        """The servers that haproxy has found to be well."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self._asked))
            asking.sendall(b"show stat\n")
            rows = csv.DictReader(asking.makefile())
            states = {row["svname"]: row["status"] for row in rows if row["# pxname"] == "oms"}
        return {name for name in self.servers if states[f"oms{name[1:]}"].startswith("UP")}

    @property
    def seen_by_agents(self) -> str:
        return self.front

    def caller(self, timeout: float = 90, user: str = "admin") -> Caller:  # type: ignore[override]
        return Caller(self.port, timeout, address=self.front).log_in(user)

    def holder(self, sessid: str) -> str:
        """The server that has the only console there is."""
        found: str = until(lambda: next((name for name in self.servers if self._consoles(name, sessid)), ""))
        return found

    def _consoles(self, name: str, sessid: str) -> list[object]:
        if self.processes[name].poll() is not None:
            return []
        with self.probe(name) as caller:
            found: list[object] = caller.call("consoleservices", "list_consoles", sessid, 0)
            return found
