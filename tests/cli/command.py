"""The command `oms` as a process: what it says, and how it ends."""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

OMS = (sys.executable, "-m", "oms")
SECONDS = 300


class Ran(NamedTuple):
    """A command that has ended. `err` never holds a traceback: `oms` sees to that."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """Its last line: where something failed, the sentence that says so."""
        return self.err.splitlines()[-1] if self.err else ""


def environment(**more: str) -> dict[str, str]:
    """A person's, without any setting of OMS but those given, and always as wide."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
    return {**own, "COLUMNS": "100", **more}


def oms(*words: object, stdin: str = "", more: Mapping[str, str] | None = None) -> Ran:
    """Run a command to its end."""
    done = subprocess.run(
        [*OMS, *map(str, words)],
        input=stdin,
        env=environment(**(more or {})),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)
