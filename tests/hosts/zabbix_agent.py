"""Debian's zabbix-agent, started for a test on loopback with a configuration of its own."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.free_port import free_port
from tests.waiting import listens, until

PROGRAM = "zabbix_agentd"


def why_not() -> str | None:
    return None if shutil.which(PROGRAM) else "needs zabbix-agent (scripts/bootstrap test installs it)"


@contextlib.contextmanager
def zabbix_agent(directory: Path, *more: str) -> Iterator[int]:
    """The port where it listens; `more` are lines of its configuration."""
    port = free_port()
    lines = (
        "ListenIP=127.0.0.1", f"ListenPort={port}", "Server=127.0.0.1", "ServerActive=", "AllowRoot=1",
        f"PidFile={directory / 'zabbix.pid'}", f"LogFile={directory / 'zabbix.log'}", *more,
    )  # fmt: skip
    (directory / "zabbix.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([PROGRAM, "-f", "-c", str(directory / "zabbix.conf")])
    try:
        until(lambda: listens(port), "the Zabbix agent does not listen")
        yield port
    finally:
        process.terminate()
        process.wait()
