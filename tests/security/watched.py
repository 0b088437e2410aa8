"""OMS as the processes that it really is, under a watch that writes down every program they start."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import Caller, Stack
from tests.security import snapshot
from tests.security.wire import Connection, soon

MACHINE = "openfiler"
MACHINE_XML = f"""
<domain type="qemu"><name>{MACHINE}</name><memory unit="MiB">64</memory><vcpu>1</vcpu>
<os><type arch="x86_64">hvm</type></os></domain>"""
WATCH = (
    "strace",
    "-D",
    "-f",
    "-qq",
    "--seccomp-bpf",
    "-e",
    "trace=execve,execveat",
    "-e",
    "signal=none",
    "-s",
    "4096",
    "-o",
)


class Watched(Stack):
    """A stack with one machine on its host, which is off."""

    def __init__(self, directory: Path, libvirtd: PrivateLibvirtd) -> None:
        self._programs = directory / "programs"
        self._programs.mkdir()
        # Each process has a file of its own: strace writes a line when it has all of it.
        super().__init__(directory, libvirtd.uri, under=(*WATCH, str(self._programs / "started"), "-ff"))
        self._virt = libvirtd.connect()
        self.honest = Caller(self.port)

    def __enter__(self) -> "Watched":
        self._virt.defineXML(MACHINE_XML)
        super().__enter__()
        self.honest.log_in()
        return self

    def close(self) -> None:
        """End everything, the machine included."""
        self.honest.close()
        super().close()
        for domain in self._virt.listAllDomains():
            domain.undefine()
        self._virt.close()

    def connect(self, **how: Any) -> Connection:
        """A new connection; see `Connection`."""
        return Connection(self.port, **how)

    def programs(self) -> list[str]:
        """Every program that was started so far, with its arguments, one a line."""
        return sorted(line for path in self._programs.iterdir() for line in path.read_text().splitlines())

    def audited(self) -> list[bytes]:
        """The audit's lines."""
        return (self.directory / "server" / "audit.log").read_bytes().splitlines()

    def snapshot(self) -> snapshot.Snapshot:
        """All that a refused call must leave as it was, on OMS and on its host."""
        with closing(
            sqlite3.connect(f"file:{self.directory / 'agent' / 'journal.db'}?mode=ro", uri=True)
        ) as journal:
            jobs = journal.execute("SELECT id FROM jobs ORDER BY id").fetchall()
        return {
            "database": snapshot.database(self.directory / "server" / "oms.db"),
            "authority": snapshot.tree(self.directory / "signer"),
            "journal": jobs,
            "storage": snapshot.tree(self.directory / "storage"),
            "network": snapshot.tree(self.directory / "network"),
            "bridges": sorted(path.parent.name for path in Path("/sys/class/net").glob("*/bridge")),
            "routes": _routes(),
            "keys": (self.directory / "authorized_keys").read_text(),
            "machines": {
                domain.name(): (domain.XMLDesc(), domain.state()) for domain in self._virt.listAllDomains()
            },
            "programs": self.programs(),
        }

    def serves_at_once(self) -> bool:
        """Whether an honest call is answered within a second, by the host itself."""
        return soon(lambda: self.honest.kvm("list_vms_status"))


def _routes() -> list[str]:
    """The host's routes, but those into containers: tests beside this one may have some."""
    lines = Path("/proc/net/route").read_text().splitlines()
    return [line for line in lines if not line.startswith(("venet", "veth"))]
