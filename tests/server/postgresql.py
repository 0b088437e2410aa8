"""A PostgreSQL of Debian's package for the tests of one process: made as its own unprivileged user, reached by a
Unix socket in its directory, ended with the tests."""

import contextlib
import itertools
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

BOTH = ("sqlite", "postgresql")
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
ACCOUNT = "postgres"
QUICK = ("fsync=off", "full_page_writes=off", "max_connections=60", "listen_addresses=")
"""What is written by a test need not outlive the machine."""


class Cluster:
    """Its databases, by URLs for OMS's setting."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._numbers = directory, itertools.count(1)

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
        with (directory / "log").open("wb") as log, subprocess.Popen(command, stderr=log, **who) as server:
            try:
                waiting = [str(programs / "pg_isready"), "-q", "-h", str(directory), "-t", "30"]
                while subprocess.run(waiting, check=False).returncode:
                    assert server.poll() is None, (directory / "log").read_text()
                yield Cluster(directory)
            finally:
                server.send_signal(signal.SIGQUIT)  # at once, without waiting for those who are connected
    finally:
        shutil.rmtree(directory)
