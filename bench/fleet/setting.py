"""An OMS without a host of its own, and the simulator's hosts."""

import asyncio
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from oms.bus import pinning
from oms.server.config import ServerConfig
from oms.server.sessions import Sessions
from oms.server.store import Store
from tests.cli.command import OMS, environment, oms
from tests.hosts.stack import PASSWORD, Stack

PATIENCE_SECONDS = 1800.0
IN_MEMORY = Path("/dev/shm")


class Fleet(Stack):
    """As for tests, but for its agent; idle connections of the client are kept longer than the run."""

    server_settings: ClassVar = {"new_hosts_a_minute": "1000000", "session_idle": "86400", "keep_bus": "true"}

    def __init__(self, directory: Path, hosts: int, guests: int) -> None:
        super().__init__(directory, "")
        self.hosts, self.guests = hosts, guests
        self.said = directory / "sim.txt"

    def __enter__(self) -> "Fleet":
        for part in ("run", "logs"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        try:
            self.start("signer")
            self.start("server")
            self.wait_for_server()
            self._simulate()
        except BaseException:
            self.close()
            raise
        return self

    def _simulate(self) -> None:
        home = environment(XDG_STATE_HOME=str(self.directory / "state"))
        ca = pinning.sha256((self.directory / "server" / "tls" / "pinned-ca.crt").read_text())
        login = oms(
            "login", f"https://127.0.0.1:{self.port}", "--ca-sha256", ca, "--user", "admin",
            stdin=f"{PASSWORD}\n", more=home,
        )  # fmt: skip
        assert login.code == 0, login.err
        words = ["--hosts", self.hosts, "--guests", self.guests, "--data", self.directory / "sim", "--sign"]
        with self.said.open("wb") as said:
            self.processes["sim"] = subprocess.Popen(
                [*OMS, "sim", *map(str, words)], env=home, stdout=said, stderr=subprocess.STDOUT
            )

    def connected(self) -> int:
        """How many of the hosts say that OMS has greeted them, as of the last few seconds."""
        found = re.findall(r"^\d+ are signed, (\d+) connected", self.said.read_text(), re.MULTILINE)
        return int(found[-1]) if found else 0

    def sessions(self, count: int) -> list[str]:
        """So many sessions of the administrator, begun without a password: that is measured elsewhere."""
        settings = ServerConfig(data=self.directory)
        store = Store(settings.database_url)
        known = Sessions(store, settings.lifetime)

        async def begin() -> list[str]:
            return [await known.begin("admin", "127.0.0.1") for _ in range(count)]

        try:
            return asyncio.run(begin())
        finally:
            store.close()


@contextmanager
def prepared(hosts: int, guests: int) -> Iterator[Fleet]:
    """Everything up, and all hosts connected."""
    with (
        tempfile.TemporaryDirectory(prefix="oms-fleet-", dir=IN_MEMORY) as place,
        Fleet(Path(place), hosts, guests) as fleet,
    ):
        yield fleet


def until(true: Callable[[], bool], why: Callable[[], str] = str, every: float = 0.1) -> float:
    """Seconds until it is so."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise TimeoutError(why())
        time.sleep(every)
    return time.monotonic() - began


KILLED = signal.SIGKILL
