"""One job that has not ended: what the journal knows of it, and what its handler may do with it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from oms.agent.journal import Entry, Journal, JournalError
from oms.bus.call import encode
from oms.contract.errors import FuncManError, OmsError, WireError, pack
from oms.contract.internal import JobState
from oms.contract.operation import HostOperation

MOST_NOTES = 64
LONGEST_NOTE = 4096
LARGEST_RECORD_BYTES = 1024 * 1024
LARGEST_RESULT_BYTES = 1024 * 1024


class Outcome(msgspec.Struct, frozen=True):
    """How a job ended: done with a result (JSON), failed with an error, or cancelled."""

    state: Literal["done", "failed", "cancelled"]
    result: str = ""
    error: WireError | None = None


def failed(error: OmsError) -> Outcome:
    """The outcome of a job that could not be done."""
    return Outcome("failed", error=pack(error))


class Unfinished:
    """A job from its arrival to its end. It is the `oms.agent.context.Job` of its handler."""

    def __init__(
        self,
        entry: Entry,
        op: HostOperation[Any] | None,
        journal: Journal,
        tell: Callable[["Unfinished"], None],
        records: dict[str, Any] | None = None,
    ) -> None:
        """`op` is None where it could not be read; `tell` is called when there is progress."""
        self.id = entry.id
        self.entry = entry
        self.op = op
        self.resumed = entry.state == "running"
        """Whether it was begun before, by an earlier run of the agent or of its handler: it may have acted."""
        self.written: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
        """Done when it is in the journal: None, or the entry of that id that was there before. Fails with the
        reason why it is not."""
        self.ending = False
        """Its end is being written down: it will not begin any more."""
        self._timer: asyncio.TimerHandle | None = None
        self._journal = journal
        self._tell = tell
        self._records = records or {}

    @property
    def may_have_acted(self) -> bool:
        """Whether it has been broken off already, or has written down what it was about to do."""
        return self.resumed or bool(self._records)

    # --- for its handler

    def recall(self, key: str) -> Any:
        """See Job."""
        return self._records.get(key)

    async def record(self, key: str, value: Any) -> None:
        """See Job. Raises FuncManError where it cannot be written: do not go on then, but undo."""
        text = encode(value).decode()
        if len(text) > LARGEST_RECORD_BYTES:
            raise ValueError(f"a record of a job holds {LARGEST_RECORD_BYTES} bytes at most, {key!r} {len(text)}")
        try:
            await self._journal.record(self.id, key, text, self.entry.notes)
        except JournalError as error:
            raise FuncManError(
                f"The host cannot write down what it does ({error}), so it does not go on: make room there first.",
                cause="journal",
            ) from error
        self._records[key] = msgspec.json.decode(text)

    def progress(self, percent: int) -> None:
        """See Job."""
        if self.entry.finished:
            return  # a task that its handler forgot
        self.change(progress=max(0, min(100, int(percent))))
        self._tell(self)

    def note(self, key: str, text: str) -> None:
        """See Job."""
        if self.entry.finished:
            return
        notes = {**self.entry.notes, key: text[:LONGEST_NOTE]}
        if len(notes) > MOST_NOTES:
            raise ValueError(f"a job has {MOST_NOTES} notes at most")
        self.change(notes=notes)

    # --- for the queue

    def change(self, **values: Any) -> None:
        """Change what is in memory; the journal is the caller's business."""
        self.entry = msgspec.structs.replace(self.entry, **values)

    def watch(self, timer: asyncio.TimerHandle | None) -> None:
        """The timer that goes with it from now on, in place of the one before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer

    def told(self) -> JobState:
        """What the server is told of it."""
        return self.entry.told()

    def ended(self, outcome: Outcome) -> Entry:
        """The entry for the journal."""
        if len(outcome.result) > LARGEST_RESULT_BYTES:
            outcome = failed(FuncManError("It was done, but the host's answer is too large to be carried."))
        progress = 100 if outcome.state == "done" else self.entry.progress
        return msgspec.structs.replace(
            self.entry,
            op="",
            state=outcome.state,
            result=outcome.result,
            error=outcome.error,
            progress=progress,
            finished=max(time.time(), 1.0),  # 0 is what has not ended, however wrong the host's clock
        )
