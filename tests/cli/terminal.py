"""A command in a terminal of its own, as a person has it: what it shows, and keys for it."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Self

from tests.cli.command import OMS, environment

SECONDS = 60.0


class Terminal:
    """`with` starts the command; whatever is left of it at the end is ended."""

    def __init__(self, *words: str, more: Mapping[str, str]) -> None:
        self._command, self._environment = [*OMS, *words], {**environment(**more), "TERM": "xterm"}
        self.shown = b""
        self._line = -1
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self._line, there = pty.openpty()
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=there, stdout=there, stderr=there, start_new_session=True
        )
        os.close(there)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._line)

    def until(self, words: bytes) -> None:
        """Return when it has shown these."""
        end = time.monotonic() + SECONDS
        while words not in self.shown:
            assert self._read(), self.shown
            assert time.monotonic() < end, self.shown

    def press(self, keys: bytes) -> None:
        """Type them."""
        os.write(self._line, keys)

    def interrupt(self) -> None:
        """What a terminal makes of Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """Its exit status."""
        end = time.monotonic() + SECONDS
        while self._read():
            assert time.monotonic() < end, self.shown
        return self._process.wait(SECONDS)

    def _read(self) -> bool:
        """More of what it shows, within a moment; False where there is nothing more to come."""
        if not select.select([self._line], [], [], 0.5)[0]:
            return True
        try:
            part = os.read(self._line, 65536)
        except OSError:  # its other end is closed
            return False
        self.shown += part
        return bool(part)
