"""What is measured: a whole OMS over a private libvirtd with many machines, and the floor beside it."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import libvirt

from bench import floor
from bench.floor import Floor
from tests.free_port import free_port
from tests.hosts.guests import domain_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import NAME, Caller, Stack

MACHINES = 200
CLIENTS = 16


@dataclass(frozen=True)
class Setting:
    """One run's. `bare` is a connection of our own to the libvirtd that OMS's agent uses."""

    oms: Stack
    daemon: PrivateLibvirtd
    bare: libvirt.virConnect
    floor: Floor
    caller: Caller
    directory: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.oms.port}/"


def name(number: int) -> str:
    """A machine's."""
    return f"bench-{number}"


@contextmanager
def prepared() -> Iterator[Setting]:
    """Everything started, and ended again."""
    with tempfile.TemporaryDirectory(prefix="oms-bench-") as place:
        directory = Path(place)
        with PrivateLibvirtd(directory / "libvirtd") as daemon:
            bare = daemon.connect()
            for number in range(MACHINES):
                bare.defineXML(_machine(number, directory))
            with Stack(directory / "oms", daemon.uri) as oms:
                caller = oms.caller()
                answer = directory / "large.json"
                answer.write_text(json.dumps(caller.raw("kvmservices", "list_vms_status", caller.sessid, 0, NAME)))
                tls = oms.directory / "server" / "tls"
                with floor.running(free_port(), tls / "web.crt", tls / "web.key", answer) as beside:
                    yield Setting(oms, daemon, bare, beside, caller, directory)
            bare.close()


def _machine(number: int, directory: Path) -> str:
    return domain_xml(name(number), memory_mb=32, vcpu=1, console=directory / "console", disk=None, image=None)
