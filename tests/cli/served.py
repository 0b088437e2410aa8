"""`oms up` as a person has it in a terminal, on loopback and with data of its own."""

import contextlib
import glob
import http.client
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Self

from tests.cli.command import OMS, environment
from tests.free_port import free_port
from tests.hosts.stack import Caller
from tests.waiting import until

SECONDS = 60.0


class Up:
    """A running `oms up`; `with` waits until it says that it is up, and ends it by Ctrl-C.

    It finds no hypervisor, as on a machine that was never set up for one, and writes no key for consoles.
    """

    def __init__(self, data: Path, *before: str, again: "Up | None" = None, **settings: str) -> None:
        """`before`: words before the command, as those that make it another user's. `again`: the one before on
        the same data, whose addresses it keeps."""
        self.data = data
        self.port: int = again.port if again else free_port()
        self.bus_port: int = again.bus_port if again else free_port()
        self.pages_port: int = again.pages_port if again else free_port()
        self.said: list[str] = []
        """Its lines, both outputs together."""
        address = ("--listen", f"127.0.0.1:{self.port}", "--bus-listen", f"127.0.0.1:{self.bus_port}")
        self._command = [*before, *OMS, "up", "--data", str(data), *address]
        self._environment = environment(
            PATH="/nonexistent",
            OMS_AGENT_AUTHORIZED_KEYS="",
            OMS_LOGIN_DELAY="0.1",
            OMS_CONSOLES_LISTEN=f"127.0.0.1:{self.pages_port}",
            **settings,
        )
        self._callers: list[Caller] = []
        self.process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            until(lambda: "Ctrl-C ends it." in self.said or self.process.poll() is not None, self.text)
            assert self.process.poll() is None, self.text()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for caller in self._callers:
            caller.close()
        if self.process.poll() is None:
            self.end()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.said.extend(line.rstrip("\n") for line in lines)

    def text(self) -> str:
        return "\n".join(self.said)

    def shown(self, name: str) -> str:
        """What stands behind a word of what it says when it is up."""
        found = re.search(rf"^  {name} +(.*)$", self.text(), re.MULTILINE)
        assert found is not None, self.text()
        return found[1]

    def answers(self) -> bool:
        """Whether it takes calls."""
        with contextlib.closing(Caller(self.port, 5)) as caller:
            try:
                caller.raw("authservices", "checksessid", "")
            except (OSError, http.client.HTTPException):
                return False
            return True

    def log_in(self, password: str, user: str = "admin") -> Caller:
        """A session, whose connection is closed at the end."""
        return self.bearing("").log_in(user, password)

    def bearing(self, token: str) -> Caller:
        """A caller with that token, whose connection is closed at the end."""
        self._callers.append(Caller(self.port))
        self._callers[-1].sessid = token
        return self._callers[-1]

    def end(self, number: int = signal.SIGINT) -> int:
        """Send it a signal; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def family(self) -> dict[int, str]:
        """The processes below it, each with its command line."""
        found: dict[int, str] = {}
        waiting = [self.process.pid]
        while waiting:
            for child in children(waiting.pop()):
                with contextlib.suppress(OSError):  # it has just ended
                    found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
                    waiting.append(child)
        return found

    def pids(self, part: str) -> list[int]:
        """The processes, one unless it was just started again, that are the `signer`, `server` and so on."""
        word = f"-m oms {part} " if part != "nats-server" else f"{part} "
        return [pid for pid, line in self.family().items() if word in line]


def children(pid: int) -> list[int]:
    """Of all threads of a process; of those that end meanwhile, none."""
    found: list[int] = []
    for task in glob.glob(f"/proc/{pid}/task/*/children"):  # noqa: PTH207 - it passes over what is gone
        with contextlib.suppress(OSError):
            found += map(int, Path(task).read_text().split())
    return found


def alive(pid: int) -> bool:
    """Whether there is such a process, which has not ended and waits to be taken note of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def owned(path: Path, uid: int) -> None:
    """Give a directory to a user."""
    path.mkdir(exist_ok=True)
    os.chown(path, uid, uid)
