"""Waiting for a job: a bar with its progress on a terminal, and what Ctrl-C means there."""

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from oms.client import Sent
from oms.contract.task import Task

SOON = 5
"""Seconds in which it is not worth saying when something ends."""


class Watched:
    """How a job stands, shown on the standard error, if that is a terminal, once there is something to show."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.over = False
        self._bar: Any = None
        self._line: Any = None

    def tell(self, task: Task) -> None:
        """The job stands so."""
        self.job, self.over = task.id, bool(task.finished)
        what = f"{task.method.partition('.')[2]} {task.name or task.target or task.host}"
        self._show(what, task.progress, 100, f"{task.state}{_left(task.eta)}")

    def sent(self, sent: Sent) -> None:
        """So much of a file is there."""
        self._show("sent", sent.sent, sent.size, f"{sent.sent // 2**20} of {sent.size // 2**20} MiB")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, what: str, done: int, of: int, says: str) -> None:
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
            self._line = self._bar.add_task(what, total=of, says=says)
        self._bar.update(self._line, description=what, completed=done, total=of, says=says)


@contextlib.contextmanager
def watched(job: str) -> Iterator[Watched]:
    """Watch a job of that id; the bar is gone afterwards."""
    made = Watched(job)
    try:
        yield made
    finally:
        made.close()


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    says = TextColumn("{task.fields[says]}", markup=False)
    what = TextColumn("{task.description}", markup=False)
    return Progress(what, BarColumn(), TaskProgressColumn(), says, console=Console(stderr=True), transient=True)


def _left(eta: str) -> str:
    """How long it goes on, by the job's own word."""
    try:
        seconds = int((datetime.fromisoformat(eta) - datetime.now(UTC)).total_seconds())
    except ValueError:
        return ""
    if seconds < SOON:
        return ""
    return f", {seconds // 60}:{seconds % 60:02} left"
