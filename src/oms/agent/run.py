"""One job that has not ended: what the journal knows of it, and what its handler may do with it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

import msgspec

from oms.agent.context import JOURNAL
from oms.agent.journal import Entry, Journal, JournalError
from oms.bus.call import encode
from oms.contract.errors import FuncManError, JobCancelled, OmsError, WireError, pack
from oms.contract.internal import JobState
from oms.contract.operation import HostOperation

MOST_NOTES = 64
LONGEST_NOTE = 4096
LARGEST_RECORD_BYTES = 1024 * 1024
LARGEST_RESULT_BYTES = 1024 * 1024
ANSWERED, CANCELLED = ".answered", ".cancelled"
"""Records of the job itself; a handler's own do not begin with a dot."""
BROKEN_OFF = {"hypervisor": "it went away while the job ran", JOURNAL: "it could not be written while the job ran"}
GOES_ON, WENT_ON = ": the job goes on by itself when that is over", ": the job went on when that was over"
"""Notes of the job itself, by what broke it off: while it waits, and when it has ended."""
UNDONE = "The job was cancelled while it ran, and undone: nothing was changed."


class Outcome(msgspec.Struct, frozen=True):
    """How a job ended: done with a result (JSON), failed with an error, or cancelled."""

    state: Literal["done", "failed", "cancelled"]
    result: str = ""
    error: WireError | None = None


def failed(error: OmsError) -> Outcome:
    """The outcome of a job that could not be done, or was taken back."""
    return Outcome("cancelled" if isinstance(error, JobCancelled) else "failed", error=pack(error))


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
        self.step_aside: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext
        """How it leaves its turn to others; the queue says."""
        self.ending = False
        """Its end is being written down: it will not begin any more."""
        self._timer: asyncio.TimerHandle | None = None
        self._journal = journal
        self._tell = tell
        self._records = records or {}
        self._breakable: asyncio.Task[Any] | None = None
        self._pace: tuple[float, float] | None = None
        self._left_seconds = 0.0
        if ANSWERED in self._records:
            self.change(result=self._records[ANSWERED])

    @property
    def may_have_acted(self) -> bool:
        """Whether it has been broken off already, or has written down what it was about to do."""
        return self.resumed or bool(self._records.keys() - {CANCELLED})

    def cancelled(self) -> bool:
        """Whether somebody wants it undone."""
        return CANCELLED in self._records

    # --- for its handler

    def recall(self, key: str) -> Any:
        """See Job."""
        return self._records.get(key)

    async def record(self, key: str, value: Any) -> None:
        """See Job."""
        text = encode(value).decode()
        if len(text) > LARGEST_RECORD_BYTES:
            raise ValueError(f"a record of a job holds {LARGEST_RECORD_BYTES} bytes at most, {key!r} {len(text)}")
        try:
            await self._journal.record(self.id, key, text, self.entry.notes)
        except JournalError as error:
            raise FuncManError(
                f"The host cannot write down what it does ({error}), so it does not go on: make room there first.",
                cause=JOURNAL,
            ) from error
        self._records[key] = msgspec.json.decode(text)

    def progress(self, percent: float) -> None:
        """See Job."""
        if self.entry.finished:
            return  # a task that its handler forgot
        percent = max(0.0, min(100.0, percent))
        now = time.monotonic()
        began, at_first = self._pace = self._pace or (now, percent)
        if percent > at_first:
            self._left_seconds = (now - began) * (100 - percent) / (percent - at_first)
        if int(percent) != self.entry.progress:
            self.change(progress=int(percent))
            self._tell(self)

    def note(self, key: str, text: str) -> None:
        """See Job."""
        if self.entry.finished:
            return
        notes = {**self.entry.notes, key: text[:LONGEST_NOTE]}
        if len(notes) > MOST_NOTES:
            raise ValueError(f"a job has {MOST_NOTES} notes at most")
        self.change(notes=notes)

    async def answer(self, value: Any) -> None:
        """See Job."""
        if ANSWERED not in self._records:
            text = encode(value).decode()
            await self.record(ANSWERED, text)
            self.change(result=text)
            self._tell(self)

    @contextlib.asynccontextmanager
    async def cancellable(self) -> AsyncIterator[None]:
        """See Job."""
        if self.cancelled():
            raise JobCancelled(UNDONE, job=self.id)
        self._breakable = task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        try:
            yield
        except asyncio.CancelledError:
            # The agent may be told to end in the same moment: that goes first, and the next start undoes.
            if self.cancelled() and task.uncancel() <= before:
                raise JobCancelled(UNDONE, job=self.id) from None
            raise
        finally:
            self._breakable = None

    def aside(self) -> AbstractAsyncContextManager[None]:
        """See Job."""
        return self.step_aside()

    # --- for the queue

    async def cancel(self) -> None:
        """Have a job that runs undone, as soon as its handler lets it be. Raises FuncManError where that cannot be
        written down."""
        if self.cancelled():
            return
        self.note("cancel", "asked for: the job is undone as soon as it can be")
        await self.record(CANCELLED, True)
        if self._breakable is not None:
            self._breakable.cancel()

    def break_off(self, by: str) -> bool:
        """What is needed to go on is away, and the job waits for it; answers whether that is news."""
        self.resumed = True
        note = BROKEN_OFF[by] + GOES_ON
        if self.entry.notes.get(by) == note:
            return False
        self.change(notes={**self.entry.notes, by: note})
        self._tell(self)
        return True

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
        return msgspec.structs.replace(self.entry.told(), left=self._left_seconds)

    def ended(self, outcome: Outcome) -> Entry:
        """The entry for the journal."""
        if len(outcome.result) > LARGEST_RESULT_BYTES:
            outcome = failed(FuncManError("It was done, but the host's answer is too large to be carried."))
        for by in BROKEN_OFF.keys() & self.entry.notes.keys():
            self.change(notes={**self.entry.notes, by: BROKEN_OFF[by] + WENT_ON})
        progress = 100 if outcome.state == "done" else self.entry.progress
        self._left_seconds = 0.0
        return msgspec.structs.replace(
            self.entry,
            op="",
            state=outcome.state,
            result=outcome.result,
            error=outcome.error,
            progress=progress,
            finished=max(time.time(), 1.0),  # 0 is what has not ended, however wrong the host's clock
        )
