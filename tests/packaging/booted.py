"""A Debian that is booted: systemd is its first process, its files are this machine's under a layer of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Self

from tests.packaging.first_process import BASE, PATH, SYSTEMD
from tests.waiting import until

INSIDE = Path(__file__).with_name("first_process.py")
SPACES = ("mount", "pid", "uts", "ipc", "net", "cgroup")
SECONDS = 60


def why_not() -> str | None:
    """Why nothing can be booted here, in words for a skipped test; None where it can."""
    if os.geteuid() != 0:
        return "needs root: namespaces do"
    if not Path(SYSTEMD).exists():
        return "needs systemd (scripts/bootstrap test installs it)"
    if groups() is None:
        return "needs cgroup2"
    tried = subprocess.run(["unshare", *spaces(), "true"], check=False, capture_output=True)
    return f"needs namespaces: {tried.stderr.decode().strip()}" if tried.returncode else None


def spaces() -> list[str]:
    return [f"--{name}" for name in SPACES]


def groups() -> Path | None:
    """Where this machine has its control groups of the second version."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, at, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(at)
    return None


class Booted:
    """`with` boots it, and leaving ends all that runs there."""

    def __init__(self, scratch: Path, **shown: Path) -> None:
        """`shown`: directories of this machine that are to be seen there, below /mnt."""
        self._scratch, self._shown = scratch, shown
        self._ends = contextlib.ExitStack()
        self._first = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ends:
            unshare = ["unshare", "--mount", "--propagation=private"]
            cover = [*unshare, sys.executable, str(INSIDE), "cover", str(self._scratch)]
            self._corner = subprocess.Popen(cover, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            ends.callback(self._corner.communicate, timeout=SECONDS)
            assert self._corner.stdout is not None
            assert self._corner.stdout.readline() == b"ready\n"
            self._group = (groups() or Path()) / f"oms-{uuid.uuid4().hex[:8]}"
            ends.callback(self._clear)
            self._boot()
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _boot(self) -> None:
        self._group.mkdir(exist_ok=True)
        shown = [f"{name}={path}" for name, path in self._shown.items()]
        program = [sys.executable, str(INSIDE), "boot", str(self._scratch), *shown]
        corner = ["nsenter", f"--mount=/proc/{self._corner.pid}/ns/mnt"]
        inside = [*corner, "unshare", *spaces(), "--fork", "--kill-child", *program]
        join = f'echo $$ >{self._group}/cgroup.procs && exec "$@"'
        # It goes with this process, also where that is killed.
        command = ["setpriv", "--pdeathsig=KILL", "sh", "-c", join, "sh", *inside]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        until(self._begun)
        until(lambda: self.tried("systemctl", "is-active", BASE).returncode == 0, self.state)

    def _begun(self) -> bool:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._first = int(children[0]) if children else 0
        return bool(children) and Path(f"/proc/{self._first}/exe").resolve() == Path(SYSTEMD).resolve()

    def _clear(self) -> None:
        """End all that runs there, and take its control groups away."""
        self.power_off()
        for directory, _, _ in os.walk(self._group, topdown=False):
            until(lambda directory=directory: _removed(Path(directory)))  # type: ignore[misc]

    def power_off(self) -> None:
        """As when its plug is pulled."""
        with contextlib.suppress(ProcessLookupError):
            if self._first:
                os.kill(self._first, signal.SIGKILL)
        self._process.wait(SECONDS)

    def reboot(self) -> None:
        """Shut it down as its administrator does, and boot it again."""
        self.tried("systemctl", "reboot")
        self._process.wait(SECONDS)
        self._boot()

    def run(self, *words: str, stdin: str = "") -> str:
        """What a command says; it must succeed."""
        done = self.tried(*words, stdin=stdin)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def tried(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """How a command ends that root runs there."""
        enter = ["nsenter", f"--target={self._first}", *spaces()]
        plain = [
            "env",
            "-i",
            "--chdir=/",
            f"PATH={PATH}",
            "HOME=/root",
            "LC_ALL=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
        ]
        command = [*enter, *plain, *words]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=SECONDS * 2, check=False
        )

    def file(self, path: str) -> Path:
        """A file there, as it is seen from outside."""
        return Path(f"/proc/{self._corner.pid}/root{self._scratch}/root{path}")

    def state(self) -> str:
        """How its services are, for people."""
        failed = self.tried("systemctl", "--failed", "--no-pager").stdout
        return failed + self.tried("journalctl", "--no-pager", "-o", "cat", "-n", "60").stdout


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
