"""A private corner of this machine: its own processes, and directories of its own over those that daemons use.

This file is both sides. `Enclosure` starts it as `unshare --mount --pid --fork ... python enclosure.py DIR`: pid 1
of its own pid namespace, in its own mount namespace. There it puts directories below DIR over those that a system
daemon uses, says so by one line on its output, and then waits until its input is closed. When it goes, the kernel
ends everything it enclosed, guests included, so nothing is left behind even by a test run that was killed.
"""

import signal
import subprocess
import sys
from pathlib import Path

# What libvirt keeps where. All of /run: without the sockets there, no machined, firewalld or polkit hears of us.
COVERED = {
    "run": "/run",
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"}
"""A daemon's: nothing of the caller's session, so no test depends on it."""


class Enclosure:
    """The corner below a directory, from here on until it is closed."""

    def __init__(self, root: Path) -> None:
        unshare = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc"]
        self._first = subprocess.Popen(
            [*unshare, sys.executable, __file__, str(root)],
            stdin=subprocess.PIPE,  # ours alone: when this process ends, so does the enclosure
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        assert self._first.stdout is not None
        with self._first.stdout as said:
            if said.readline() != b"ready\n":
                raise RuntimeError(f"the enclosure of {root} ended with status {self._first.wait(60)}")
        self._inside = only_child(self._first.pid)

    def command(self, *argv: str) -> list[str]:
        """The words that run a program inside: `nsenter` and, as its child, the program."""
        return ["nsenter", f"--target={self._inside}", "--mount", "--pid", *argv]

    def processes(self) -> dict[int, list[str]]:
        """What runs inside besides the first process: its words, by its process id as this side sees it."""
        found = {}
        here = Path(f"/proc/{self._inside}/ns/pid").readlink()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self._inside:
                continue
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                if (
                    entry / "ns/pid"
                ).readlink() == here and words:  # what has ended and waits to be collected has none
                    found[int(entry.name)] = words
            except OSError:
                continue
        return found

    def close(self) -> None:
        """End everything in it. Files stay: they are the test's to look at."""
        assert self._first.stdin is not None
        self._first.stdin.close()
        self._first.wait(60)


def only_child(pid: int) -> int:
    """The child of `unshare` or `nsenter`, which fork once to enter a pid namespace."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if len(children) != 1:
        raise RuntimeError(f"process {pid} has the children {children or 'none'}, not the one it was started for")
    return int(children[0])


def cover(root: Path) -> None:
    """Bind DIR/run over /run and so on."""
    for name, place in COVERED.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(root / name), place], check=True)
    Path("/run/lock").mkdir(exist_ok=True)  # where /var/lock leads: libvirt locks consoles there


if __name__ == "__main__":
    cover(Path(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects what ends; orphans come to pid 1
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()  # until whoever started us closes it, or dies
