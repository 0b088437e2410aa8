"""Which containers run, and what their first processes are.

Each running container has a monitor, which listens on a socket that is named after it; so the kernel's list of
sockets says in one reading which run. The monitor says which process is the container's first: the words are those
of LXC's own programs (src/lxc/commands.h: command 4, the same since LXC 1.0), and what cannot be had so within a
moment is left out, as of a container that just starts or ends.
"""

import os
import socket
import struct
from pathlib import Path
from typing import Final

import msgspec

UNIX: Final = Path("/proc/net/unix")
GET_INIT_PID: Final = 4
ANSWER_SECONDS: Final = 0.5
LONGEST_NAME: Final = 106
REQUEST: Final = struct.Struct("@iiP")
FNV_OFFSET, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class Process(msgspec.Struct, frozen=True):
    """A process, and when it was started, in the kernel's ticks: numbers are given anew, both together are not."""

    pid: int
    started: int


class Monitors:
    """The monitors of one of LXC's paths. Remembers the first processes that it has asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Process] = {}

    def running(self, names: frozenset[str]) -> dict[str, Process | None]:
        """Those of the containers that run, with their first process where it can be told."""
        listening = _listening()
        found = {name: self._first(name) for name in names if socket_name(self._path, name) in listening}
        self._known = {name: process for name, process in found.items() if process is not None}
        return found

    def one(self, name: str) -> tuple[bool, Process | None]:
        """Whether a container runs, and its first process where it can be told. Asks its monitor alone: the list
        of sockets is long where many containers run."""
        pid = _ask_pid(socket_name(self._path, name))
        if pid is None:
            return False, None
        process = _process(pid) if pid else self._remembered(name)
        if process is not None:
            self._known[name] = process
        return True, process

    def _first(self, name: str) -> Process | None:
        return self._remembered(name) or _process(_ask_pid(socket_name(self._path, name)) or 0)

    def _remembered(self, name: str) -> Process | None:
        known = self._known.get(name)
        return known if known is not None and started(known.pid) == known.started else None


def socket_name(path: Path, name: str) -> str:
    """The name of a monitor's socket, as LXC makes it."""
    whole = f"{path}/{name}/command"
    if len(os.fsencode(whole)) <= LONGEST_NAME:
        return whole
    digest = FNV_OFFSET
    for byte in os.fsencode(f"{path}/{name}"):
        digest = (digest ^ byte) * FNV_PRIME % 2**64
    return f"lxc/{digest:016x}/command"


def started(pid: int) -> int:
    """When a process was started, in the kernel's ticks; 0 where it is not there, or has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    words = text.rpartition(")")[2].split()
    return 0 if words[0] in {"Z", "X"} else int(words[19])


def _listening() -> frozenset[str]:
    lines = UNIX.read_text(errors="surrogateescape").splitlines()[1:]
    return frozenset(line.rpartition("@")[2] for line in lines if "@" in line)


def _process(pid: int) -> Process | None:
    at = started(pid) if pid > 0 else 0
    return Process(pid, at) if at else None


def _ask_pid(name: str) -> int | None:
    """0 where the monitor does not say; None where there is none."""
    credentials = struct.pack("3i", os.getpid(), os.getuid(), os.getgid())
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_SECONDS)
        try:
            line.connect(b"\0" + os.fsencode(name))
        except ConnectionRefusedError:
            return None
        except OSError:
            return 0
        try:
            line.sendmsg(
                [REQUEST.pack(GET_INIT_PID, 0, 0)],
                [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)],
            )
            answer = line.recv(REQUEST.size)
        except OSError:
            return 0
    if len(answer) != REQUEST.size:
        return 0
    said: tuple[int, int, int] = REQUEST.unpack(answer)
    return said[2] if said[0] == 0 and 0 < said[2] < 2**31 else 0
