"""A PostgreSQL of Debian's package for the tests of one process: made as its own unprivileged user, reached by a
Unix socket in its directory, ended with the tests."""

import contextlib
import itertools
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

BOTH = ("sqlite", "postgresql")
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
ACCOUNT = "postgres"
START_SECONDS = 60.0
QUICK = ("fsync=off", "full_page_writes=off", "max_connections=60", "listen_addresses=")
"""What is written by a test need not outlive the machine."""


class Cluster:
    """Its databases, by URLs for OMS's setting."""

    def __init__(self, directory: Path, start: Callable[[], "subprocess.Popen[bytes]"]) -> None:
        """`start` starts its server."""
        self._directory, self._numbers = directory, itertools.count(1)
        self._start, self._server = start, start()

    def url(self, name: str) -> str:
        """Of the database of that name."""
        return f"postgresql://{ACCOUNT}@/{name}?host={self._directory}"

    def made(self, template: str = "template0", how: str = "") -> str:
        """The URL of a new database, a copy of that one."""
        name = f"oms{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name} {how} TEMPLATE {template}")
        return self.url(name)

    def dropped(self, url: str) -> None:
        """There is no such database any more, whoever is connected to it."""
        self._do(f"DROP DATABASE {name_of(url)} WITH (FORCE)")

    def killed(self) -> None:
        """Its server is killed, and started again at once."""
        self._server.kill()
        self._server.wait()
        self._server = self._start()
        self.wait()

    def wait(self) -> None:
        """Until it answers. One that is started too soon after another's end says so, and ends."""
        waiting = [str(PROGRAMS[-1] / "pg_isready"), "-q", "-h", str(self._directory), "-t", "1"]
        end = time.monotonic() + START_SECONDS
        while subprocess.run(waiting, check=False).returncode:
            assert time.monotonic() < end, (self._directory / "log").read_text()
            if self._server.poll() is not None:
                time.sleep(0.05)
                self._server = self._start()

    def ended(self) -> None:
        """At once, without waiting for those who are connected."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait()

    def _do(self, statement: str) -> None:
        url = sa.make_url(self.url("postgres")).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


def name_of(url: str) -> str:
    """The database's."""
    return sa.make_url(url).database or ""


@contextlib.contextmanager
def running(*settings: str) -> Iterator[Cluster]:
    """A new one; `settings` come after those that make it quick."""
    programs, account = PROGRAMS[-1], pwd.getpwnam(ACCOUNT)
    directory = Path(tempfile.mkdtemp(prefix="oms-pg-"))
    shutil.chown(directory, account.pw_uid, account.pw_gid)
    data = directory / "data"
    who: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": (), "cwd": directory}
    try:
        how = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
        subprocess.run([programs / "initdb", "-D", data, *how], check=True, capture_output=True, **who)
        options = [word for setting in (*QUICK, *settings) for word in ("-c", setting)]
        command = [str(programs / "postgres"), "-D", str(data), "-k", str(directory), *options]
        with (directory / "log").open("ab") as log:
            cluster = Cluster(directory, lambda: subprocess.Popen(command, stderr=log, **who))
            try:
                cluster.wait()
                yield cluster
            finally:
                cluster.ended()
    finally:
        shutil.rmtree(directory)
