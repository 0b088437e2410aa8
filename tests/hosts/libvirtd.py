"""A real libvirtd of our own: its machines, sockets, configuration and state lie below one directory.

Several run side by side and see neither each other nor the machine's own libvirtd. Each can be killed and started
again while its guests go on, which is how a host's bad day is rehearsed.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import libvirt

from oms.agent.libvirtd import forget_broken_starts
from tests.hosts.enclosure import ENVIRONMENT, PATH, Enclosure, only_child

SOCKET_PATH_LIMIT = 107  # bytes; the kernel's sun_path

DAEMON_CONF = """\
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{host_uuid}"
log_outputs = "{level}:stderr"
log_filters = "{filters}"
"""

# Guests run as root without relabelling, so they may read files wherever a test puts them. No cgroups: two
# daemons would make the same ones. Output of guests goes straight to files, without a virtlogd.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
remember_owner = 0
"""


def why_not() -> str | None:
    """Why no private libvirtd can run here, in words for a skipped test; None where one can."""
    if os.geteuid() != 0:
        return "needs root: libvirtd and its namespaces do"
    missing = [
        p for p in ("libvirtd", "qemu-system-x86_64", "unshare", "nsenter") if not shutil.which(p, path=PATH)
    ]
    if missing:
        return f"needs {', '.join(missing)} (scripts/bootstrap test installs them)"
    refused = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False, capture_output=True)
    if refused.returncode != 0:
        return f"needs mount and pid namespaces: {refused.stderr.decode().strip()}"
    return None


class PrivateLibvirtd:
    """One libvirtd and its guests, enclosed below `root` (an absolute path of at most 80 or so characters).

    `start` and `stop` or `kill` come and go as often as a test likes; guests outlive the daemon as they do in real
    life. `close` ends everything. As a context manager it starts on the way in and closes on the way out.
    """

    def __init__(self, root: Path, *, log_filters: str = "") -> None:
        """`log_filters`: what is logged besides warnings, as in libvirtd.conf."""
        self.root = root.resolve()
        self._log_filters = log_filters
        self.socket = self.root / "run/libvirt/libvirt-sock"
        if len(os.fsencode(self.socket)) > SOCKET_PATH_LIMIT:
            raise ValueError(f"{self.socket} is longer than a socket's path may be ({SOCKET_PATH_LIMIT} bytes)")
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        self.log = self.root / "libvirtd.log"
        self._enclosure: Enclosure | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        """The daemon's process id as this side sees it; None while it is not running."""
        return self._pid if self._daemon is not None and self._daemon.poll() is None else None

    def start(self, *, forgetting: bool = True) -> None:
        """Start the daemon, in a fresh enclosure the first time; returns when it answers. `forgetting`: as our
        agent starts it, without the notes by which a machine whose start was broken off is stuck for ever."""
        if self.pid is not None:
            raise RuntimeError(f"this libvirtd runs already, as process {self.pid}")
        if self._enclosure is None:
            self._configure()
            self._enclosure = Enclosure(self.root)
        if forgetting:
            forget_broken_starts(self.root / "run/libvirt/qemu")
        command = ["libvirtd", "--config", "/etc/libvirt/libvirtd.conf", "--pid-file", "/run/libvirtd.pid"]
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                self._enclosure.command(*command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
            )
        self._wait_until_it_answers()
        self._pid = only_child(self._daemon.pid)

    def kill(self) -> None:
        """End the daemon as a crash would, at once and without a word; its guests go on."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the daemon to end, as a system's shutdown of the service would; its guests go on."""
        self._end(signal.SIGTERM)

    @contextmanager
    def hung(self) -> Iterator[None]:
        """The daemon does nothing meanwhile. Its parent `nsenter` stops by itself when its child does, but has to
        be told to go on."""
        assert self.pid is not None
        assert self._daemon is not None
        both = (self.pid, self._daemon.pid)
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in both:
                with suppress(ProcessLookupError):  # it was killed meanwhile
                    os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End the daemon, its guests, and the enclosure. Files stay: they are the test's to look at."""
        if self._enclosure is not None:
            self._enclosure.close()
            self._enclosure = None
        if self._daemon is not None:
            self._daemon.wait(60)
            self._daemon = None

    def processes(self) -> dict[int, list[str]]:
        """The daemon, its guests and helpers: the words of each, by its process id as this side sees it."""
        return self._enclosure.processes() if self._enclosure is not None else {}

    def inside(self, *argv: str) -> list[str]:
        """The words that run a program where this libvirtd's files and sockets are, as `nsenter`'s child."""
        assert self._enclosure is not None
        return self._enclosure.command(*argv)

    def connect(self) -> libvirt.virConnect:
        """A connection of the caller's own."""
        return libvirt.open(self.uri)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _configure(self) -> None:
        etc = self.root / "etc"
        etc.mkdir(parents=True, exist_ok=True)
        # One host each, as far as migration is concerned: libvirt refuses to migrate a guest to its own host.
        (etc / "libvirtd.conf").write_text(
            DAEMON_CONF.format(
                host_uuid=uuid.uuid4(), level=1 if self._log_filters else 3, filters=self._log_filters
            )
        )
        (etc / "qemu.conf").write_text(QEMU_CONF)

    def _wait_until_it_answers(self, seconds: float = 90.0) -> None:
        assert self._daemon is not None
        deadline = time.monotonic() + seconds
        while not self._listens():
            ended = self._daemon.poll()
            if ended is not None or time.monotonic() > deadline:
                state = "does not answer" if ended is None else f"ended with status {ended}"
                raise RuntimeError(f"libvirtd {state}; the end of its log: {self._last_words()}")
            time.sleep(0.02)
        self.connect().close()

    def _listens(self) -> bool:
        # A bare socket asks: libvirt's library prints every failed attempt.
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def _end(self, how: signal.Signals) -> None:
        if (pid := self.pid) is None or self._daemon is None:
            raise RuntimeError("this libvirtd is not running")
        os.kill(pid, how)
        os.kill(self._daemon.pid, signal.SIGCONT)  # its parent stands still where it does
        self._daemon.wait(20)
        self._daemon = None
