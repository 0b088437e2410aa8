"""The journal outlives what happens to the agent: kill -9 at any moment, a full disk, too many entries."""

import asyncio
import contextlib
import random
import secrets
import shutil
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.agent import journal as module
from oms.agent.journal import Entry, Journal, JournalError
from oms.contract.errors import WireError

ID, OTHER = "a" * 32, "b" * 32


def entry(job: str = ID, **values: object) -> Entry:
    fields: dict[str, object] = {"id": job, "verb": "v", "lane": "l", "server": "s", "op": "{}", "created": 1.0}
    return Entry(**fields | values)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(path)
    try:
        yield journal
    finally:
        await journal.close()


async def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    kept = entry(
        state="failed", error=WireError("FuncManError", "No.", {"a": [1]}), notes={"b": "c"}, finished=2.0
    )
    async with opened(tmp_path / "j.db") as journal:
        await journal.add(kept)
        await journal.add(entry("b" * 32))
    async with opened(tmp_path / "j.db") as journal:
        assert await journal.find([ID, "c" * 32]) == {ID: kept}
        assert [job.id for job, _ in await journal.unfinished()] == ["b" * 32]
        assert journal.size == 2


async def test_an_id_is_written_down_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "j.db") as journal:
        await journal.add(entry())
        with pytest.raises(JournalError, match="UNIQUE"):
            await journal.add(entry())


async def test_a_journal_of_a_newer_agent_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "j.db"):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "j.db")) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match="newer agent"):
        await Journal.open(tmp_path / "j.db")


async def test_a_damaged_journal_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "j.db").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(JournalError, match=r"j\.db.*move it away"):
        await Journal.open(tmp_path / "j.db")


async def test_old_and_surplus_entries_go_and_those_that_may_come_again_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_AT_MOST", 3)
    now = time.time()
    async with opened(tmp_path / "j.db") as journal:
        await journal.add(entry("0" * 32, finished=now - 8 * 86_400, deadline=now - 8 * 86_400))
        await journal.add(entry("1" * 32, finished=now - 8 * 86_400, deadline=now + 60))
        await journal.add(entry("2" * 32, deadline=now - 8 * 86_400))  # not ended
        await journal.add(entry("3" * 32, finished=now, deadline=now - 1))
        for number in (4, 5, 6):
            await journal.add(entry(str(number) * 32, finished=now, deadline=now - 1))
        await journal.prune(now)
        kept = await journal.find(str(number) * 32 for number in range(7))
        assert sorted(job[0] for job in kept) == ["1", "2", "4", "5", "6"]
        assert journal.size == 5


# --- processes that die


class Doomed:
    """The agent of `doomed.py`, as a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def send(self, job: str, thing: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{job} {thing}\n".encode())

    async def line(self, within: float = 60) -> list[str]:
        assert self.process.stdout is not None
        async with asyncio.timeout(within):
            return (await self.process.stdout.readline()).decode().split()

    async def ready(self) -> None:
        """It has begun; the ends of jobs that it took up again are passed over."""
        while line := await self.line():
            if line == ["ready"]:
                return
        raise EOFError("the agent did not begin")

    async def told(self, job: str, *words: str) -> list[str]:
        """The next line about the job that begins with one of the words."""
        while True:
            line = await self.line()
            assert line, "the agent has ended"
            if line[0] == job and line[1] in words:
                return line


@contextlib.asynccontextmanager
async def doomed(
    *arguments: object, before: tuple[str, ...] = (), log: Path = Path("/dev/null")
) -> AsyncIterator[Doomed]:
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *before,
            *(sys.executable, "-m", "tests.agent.doomed"),
            *(str(argument) for argument in arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=Path(__file__).parents[2],
        )
    it = Doomed(process)
    try:
        yield it
    finally:
        assert process.stdin is not None
        process.stdin.close()
        if not before:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.communicate()  # at the end of its input it ends by itself


async def killed_at_a_random_moment(path: Path, marks: Path, dice: random.Random) -> tuple[set[str], set[str]]:
    """Jobs of which the agent said that they are accepted, and that they are done, before it was killed."""
    accepted: set[str] = set()
    done: set[str] = set()

    async def listen(it: Doomed) -> None:
        while line := await it.line():
            {"done": done, "accepted": accepted}[line[1]].add(line[0])

    async with doomed(path, marks) as it:
        await it.ready()
        listening = asyncio.create_task(listen(it))
        for number in range(8):
            it.send(secrets.token_hex(16), f"t{number % 3}")
        await asyncio.sleep(dice.uniform(0, 0.08))
        it.process.kill()
        await listening
    return accepted, done


async def test_kill_9_at_any_moment_loses_nothing_and_runs_nothing_twice(tmp_path: Path) -> None:
    path, marks = tmp_path / "agent" / "journal.db", tmp_path / "marks"
    dice = random.Random(2011)
    accepted: set[str] = set()
    done: set[str] = set()
    for _ in range(8):
        more = await killed_at_a_random_moment(path, marks, dice)
        accepted |= more[0]
        done |= more[1]
    async with doomed(path, marks) as it:
        await it.ready()
        for job in accepted:
            state = ""
            while state not in ("done", "failed"):
                it.send(job, "?")
                state = (await it.told(job, "is"))[2]
            assert state == "done"
    runs = [line.split() for line in marks.read_text().splitlines()]
    begun = [job for job, word in runs if word == "begun"]
    assert len(begun) == len(set(begun))
    assert done <= {job for job, word in runs if word == "ended"}
    assert accepted <= set(begun) | {job for job, word in runs if word == "resumed"}
    assert len(accepted) > 10, "the dice fell so that nothing was tested"


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare, of util-linux")
async def test_a_full_disk_refuses_changes_by_name_and_does_nothing(tmp_path: Path) -> None:
    directory, marks = tmp_path / "agent", tmp_path / "marks"
    directory.mkdir()
    marks.touch()
    alone = ("unshare", "--mount", "--propagation=private")
    async with doomed(directory / "journal.db", marks, 160, before=alone) as it:
        try:
            await it.ready()
        except EOFError:
            pytest.skip("needs root: a mount namespace with a file system of its own")
        refused: list[str] = []
        for _ in range(400):
            job = secrets.token_hex(16)
            it.send(job, "t" * 500)
            answer = await it.told(job, "accepted", "refused")
            if answer[1] == "refused":
                refused = answer
                break
            await it.told(job, "done")
        assert refused[2] == "FuncManError"
        assert "full" in " ".join(refused)
        it.send(refused[0], "?")
        assert (await it.told(refused[0], "is"))[2] == "unknown"
        assert refused[0] not in marks.read_text()


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize(("accepted", "failing"), [(0, 11), (1, 12)])  # into an empty log, and behind another job
async def test_what_was_refused_because_of_a_failed_sync_does_not_come_back_after_a_crash(
    tmp_path: Path, accepted: int, failing: int
) -> None:
    path, marks = tmp_path / "agent" / "journal.db", tmp_path / "marks"
    marks.touch()
    inject = f"inject=fdatasync,fsync:error=EIO:when={failing}+1"
    before = ("strace", "-f", "-qq", "-e", "trace=fdatasync,fsync", "-e", inject, "-o", "/dev/null")
    async with doomed(path, marks, before=before) as it:
        await it.ready()
        for job in [OTHER] * accepted + [ID]:
            it.send(job, "t")
        assert (await it.told(ID, "accepted", "refused"))[1] == "refused"
        shutil.copytree(path.parent, tmp_path / "crashed")  # what the file system holds at this moment
        it.process.kill()
    async with doomed(tmp_path / "crashed" / "journal.db", marks) as it:
        await it.ready()
        it.send(ID, "?")
        assert (await it.told(ID, "is"))[2] == "unknown"
        it.send(OTHER, "?")
        assert ((await it.told(OTHER, "is"))[2] == "unknown") == (accepted == 0)
    assert ID not in marks.read_text()


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
async def test_a_disk_that_fails_for_a_while_delays_and_refuses_but_changes_no_outcome(
    tmp_path: Path, error: str
) -> None:
    marks, log = tmp_path / "marks", tmp_path / "log"
    marks.touch()
    # The first nine syncs make the journal; then every seventh fails, whatever it is for: arrival, record or end,
    # or the begin of a job that waited.
    inject = f"inject=fdatasync,fsync:error={error}:when=10+7"
    before = ("strace", "-f", "-qq", "-e", "trace=fdatasync,fsync", "-e", inject, "-o", "/dev/null")
    async with doomed(tmp_path / "agent" / "journal.db", marks, before=before, log=log) as it:
        await it.ready()
        ends: list[str] = []
        for number in range(4):
            jobs = [f"{number:016x}{place:016x}" for place in range(2)]
            for job in jobs:
                it.send(job, "t")
            for job, end in (await ended(it, jobs)).items():
                ends.append(end)
                assert (end == "done") == (f"{job} ended" in marks.read_text())
                assert (end == "refused") == (f"{job} begun" not in marks.read_text())
    assert set(ends) == {"done", "refused", "failed"}
    assert "cannot be begun" in log.read_text()
    assert "cannot be written down" in log.read_text()


async def ended(it: Doomed, jobs: list[str]) -> dict[str, str]:
    """The last word about each job."""
    ends: dict[str, str] = {}
    while len(ends) < len(jobs):
        line = await it.line()
        assert line, "the agent has ended"
        if line[0] in jobs and line[1] in {"refused", "done", "failed"}:
            ends[line[0]] = line[1]
    return ends
