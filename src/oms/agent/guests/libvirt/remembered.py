"""Machines that are off, remembered while libvirt's directory of their definitions stands still.

What a list tells of a machine that is off stands in its definition, and it is this that libvirt takes longest to
tell. It raises no event for each change of one, but writes each down at once, as a new file in place of the old
one; so no change leaves the directory's time of change as it was. Which of them are off and which run is asked
each time.

That the directory is the daemon's own is not taken for granted: it is looked at through the process at the other
end of our connection, and each machine must have a file there that bears its UUID. Whatever cannot be known so is
asked, as is everything once in a while: a daemon of another make might keep its definitions elsewhere and yet have
a directory like that.
"""

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import libvirt

from oms.agent.guests import MachineState
from oms.agent.host.daemon import listener, peer

DEFINITIONS: Final = "etc/libvirt/qemu"
SOCKETS: Final = {"libvirt-sock", "virtqemud-sock"}
SETTLED_SECONDS: Final = 2.0
"""A directory that changed less long ago might change again without a later time."""
ASKED_AGAIN_SECONDS: Final = 10.0
UUID: Final = re.compile(rb"<uuid>([0-9a-f-]{36})</uuid>")

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Snapshot:
    """What was true of the directory as `stamp` tells it."""

    stamp: Stamp
    names: frozenset[str]
    """Of all machines, those that ran among them."""
    off: dict[str, MachineState]
    until: float


class Remembered:
    """What is known of the machines of one libvirtd, from its start to its end."""

    def __init__(self, directory: Path | None) -> None:
        """`directory`: of definitions, one file for each machine; without one nothing is remembered."""
        self._directory = directory
        self._seen: set[tuple[str, str]] = set()
        self._snapshot: _Snapshot | None = None

    def states(self, stamp: Stamp | None, connection: Any) -> tuple[list[MachineState], list[Any]] | None:
        """Those that are off, and libvirt's domains that run; None where it must be asked for everything.

        One that starts between the two questions is among both, and runs. One that ends there is in neither.
        """
        known = self._snapshot
        if known is None or time.monotonic() > known.until or stamp != known.stamp:
            return None
        names = connection.listDefinedDomains()
        running = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        run = {domain.name() for domain in running}
        if not known.names.issubset(run.union(names)):
            return None
        try:
            return [known.off[name] for name in names if name not in run], running
        except KeyError:
            return None

    def stamp(self) -> Stamp | None:
        """Different after each change of a definition, None where it might not be. To be taken before libvirt is
        asked."""
        if self._directory is None:
            return None
        try:
            found = self._directory.stat()
        except OSError:
            return None
        if time.time() - max(found.st_mtime, found.st_ctime) < SETTLED_SECONDS:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns

    def learn(self, stamp: Stamp | None, states: list[MachineState]) -> None:
        """Remember what libvirt answered after `stamp` was taken."""
        self._snapshot = None
        if stamp is None:
            return
        off = {m.name: m for m in states if m.state == "shutdown" and not m.cpu_time_ns}
        if self._has_files(off.values()):
            names = frozenset(machine.name for machine in states)
            self._snapshot = _Snapshot(stamp, names, off, time.monotonic() + ASKED_AGAIN_SECONDS)

    def _has_files(self, machines: Iterable[MachineState]) -> bool:
        wanted = {(machine.name, machine.uuid) for machine in machines}
        assert self._directory is not None
        for name, uuid in wanted - self._seen:
            try:
                found = UUID.search((self._directory / f"{name}.xml").read_bytes())
            except OSError:
                return False
            if found is None or found[1].decode() != uuid:
                return False
        self._seen = wanted
        return True


def definitions_of(connection: Any) -> Path | None:
    """The directory in which the daemon at its other end keeps definitions, which it makes for the first of them;
    None where that cannot be told."""
    at = urlsplit(connection.getURI())
    if at.scheme.partition("+")[0] != "qemu" or at.netloc or at.path != "/system":
        return None
    try:
        daemon = listener(Path(parse_qs(at.query)["socket"][0])) if at.query else _at_the_other_end()
    except KeyError:
        return None
    return Path(f"/proc/{daemon}/root/{DEFINITIONS}") if daemon else None


def _at_the_other_end() -> int:
    """The process that serves the connection which this process has to libvirt's usual socket; 0 for none."""
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if not file.is_socket():
                continue
            with socket.socket(fileno=os.dup(int(file.name))) as ours:
                name = ours.getpeername() if ours.family == socket.AF_UNIX else None
                if isinstance(name, str) and Path(name).name in SOCKETS:
                    return peer(ours)
    return 0
