"""A file comes whole and as it was meant, whatever breaks on the way, or nothing of it is kept."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from oms.agent.transfer import incoming
from oms.agent.transfer.incoming import Wanted, receive
from oms.agent.transfer.part import Broken
from oms.contract.errors import FuncManError, NoSpace, NotFetched, NotThere, Unusable
from tests import small_disk
from tests.agent.transfer.parts import Nobody, Script, Scripted, gives
from tests.hosts.kvm_job import Crash, RehearsedJob

CONTENT = os.urandom(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def wanted(**more: Any) -> Wanted:
    return Wanted(**{"what": "ISO image 'a.iso'", "seconds": 5, "at_first": 5, **more})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(incoming, "SYNC_BYTES", 10_000)


async def test_it_comes_in_one_go(tmp_path: Path) -> None:
    job, script = RehearsedJob(), Script(gives(CONTENT))
    got = await receive(job, tmp_path / "a", wanted(size_bytes=len(CONTENT), sha256=SHA256), script)
    assert (got.size_bytes, got.sha256) == (len(CONTENT), SHA256)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert script.asked == [(0, "")]
    assert job.percents == sorted(job.percents)
    assert job.percents[0] < 95 <= job.percents[-1] < 100


async def test_after_each_break_it_goes_on_from_there(tmp_path: Path) -> None:
    breaks = iter([0, 1, 5_000, 5_000, 60_000, None])
    parts: list[Scripted] = []

    def part(offset: int) -> Scripted:
        parts.append(Scripted(CONTENT, offset, breaks_at=next(breaks), mark='"e1"'))
        return parts[-1]

    script = Script(part)
    await receive(RehearsedJob(), tmp_path / "a", wanted(sha256=SHA256), script)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert script.asked == [
        (0, ""), (0, '"e1"'), (1, '"e1"'), (5_000, '"e1"'), (5_000, '"e1"'), (60_000, '"e1"'),
    ]  # fmt: skip
    assert all(part.hung_up for part in parts)


async def test_nobody_is_there_for_a_while(tmp_path: Path) -> None:
    away = Broken("OMS is away")
    script = Script(
        lambda _: Nobody(), lambda _: Nobody(away), gives(CONTENT, breaks_at=40_000),
        lambda _: Nobody(), gives(CONTENT),
    )  # fmt: skip
    got = await receive(RehearsedJob(), tmp_path / "a", wanted(), script)
    assert got.sha256 == SHA256
    assert [offset for offset, _ in script.asked] == [0, 0, 0, 40_000, 40_000]


async def test_where_nothing_comes_any_more_it_is_given_up_with_the_last_reason(tmp_path: Path) -> None:
    for first, limits in (
        (lambda _: Nobody(Broken("no route to host")), {"at_first": 0.05}),
        (gives(CONTENT, breaks_at=500), {"seconds": 0.05}),
    ):
        with pytest.raises(
            NotFetched, match=r"'a\.iso' did not come any further for 0\.05 s \((no route|the line)"
        ):
            await receive(RehearsedJob(), tmp_path / "a", wanted(**limits), Script(first))


async def test_an_error_that_is_final_is_not_tried_again(tmp_path: Path) -> None:
    script = Script(lambda _: Nobody(NotThere("There is no ISO image 'a.iso' there.")))
    with pytest.raises(NotThere):
        await receive(RehearsedJob(), tmp_path / "a", wanted(), script)
    assert len(script.asked) == 1


async def test_a_server_that_cannot_go_on_begins_anew(tmp_path: Path) -> None:
    """It answers the request for the rest with the whole, perhaps of another file by now."""
    other = os.urandom(50_000)
    script = Script(
        gives(CONTENT, breaks_at=70_000, mark="old"),
        lambda _: Scripted(other, 0, mark="new"),
    )
    got = await receive(RehearsedJob(), tmp_path / "a", wanted(), script)
    assert got.sha256 == hashlib.sha256(other).hexdigest()
    assert (tmp_path / "a").read_bytes() == other


async def test_another_files_rest_is_not_added(tmp_path: Path) -> None:
    script = Script(
        gives(CONTENT, breaks_at=70_000),
        gives(CONTENT + b"more"),
        lambda offset: Scripted(CONTENT, offset + 1),
        gives(CONTENT),
    )
    assert (await receive(RehearsedJob(), tmp_path / "a", wanted(), script)).sha256 == SHA256
    assert len(script.asked) == 4


async def test_what_has_another_size_is_refused_before_it_comes(tmp_path: Path) -> None:
    with pytest.raises(NotFetched, match=r"was to have 5 bytes, and has 100000"):
        await receive(RehearsedJob(), tmp_path / "a", wanted(size_bytes=5), Script(gives(CONTENT)))
    with pytest.raises(NotFetched, match="is empty"):
        await receive(RehearsedJob(), tmp_path / "a", wanted(), Script(lambda offset: Scripted(b"", offset)))
    assert (tmp_path / "a").stat().st_size == 0


async def test_more_than_was_said_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFetched, match="longer than was said"):
        await receive(RehearsedJob(), tmp_path / "a", wanted(), Script(gives(CONTENT, size=500)))


async def test_what_is_too_large_is_refused_also_when_nobody_says_its_size(tmp_path: Path) -> None:
    for size in (None, -1):
        with pytest.raises(NotFetched, match=r"has more than 48\.8 KiB"):
            await receive(
                RehearsedJob(), tmp_path / "a", wanted(largest_bytes=50_000, sha256=SHA256),
                Script(gives(CONTENT, size=size)),
            )  # fmt: skip
    assert (tmp_path / "a").stat().st_size <= 60_000


async def test_a_file_of_unknown_length_needs_a_checksum(tmp_path: Path) -> None:
    with pytest.raises(NotFetched, match="Nobody says how long"):
        await receive(RehearsedJob(), tmp_path / "a", wanted(), Script(gives(CONTENT, size=-1)))
    got = await receive(RehearsedJob(), tmp_path / "a", wanted(sha256=SHA256), Script(gives(CONTENT, size=-1)))
    assert got.size_bytes == len(CONTENT)
    with pytest.raises(Unusable):  # as it ends early without a word
        await receive(
            RehearsedJob(),
            tmp_path / "b",
            wanted(sha256=SHA256),
            Script(gives(CONTENT[:-1], size=-1)),
        )


async def test_a_wrong_checksum_is_told_with_both(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=rf"checksum {SHA256}, and was to have {'0' * 64}"):
        await receive(RehearsedJob(), tmp_path / "a", wanted(sha256="0" * 64), Script(gives(CONTENT)))


async def test_a_file_that_is_followed_by_its_checksum_is_checked_by_that(
    tmp_path: Path,
) -> None:
    followed = CONTENT + bytes.fromhex(SHA256)
    for cut in (30_000, len(CONTENT), len(CONTENT) + 7):
        script = Script(gives(followed, breaks_at=cut), gives(followed))
        got = await receive(RehearsedJob(), tmp_path / "a", wanted(digest_follows=True), script)
        assert (got.size_bytes, got.sha256) == (len(CONTENT), SHA256)
        assert (tmp_path / "a").read_bytes() == CONTENT
    damaged = b"x" + followed[1:]
    with pytest.raises(Unusable):
        await receive(RehearsedJob(), tmp_path / "a", wanted(digest_follows=True), Script(gives(damaged)))


async def test_it_may_be_broken_off_anywhere_and_the_next_run_asks_only_for_the_rest(tmp_path: Path) -> None:
    farthest = 0
    for point in range(1, 100):
        path, job = tmp_path / f"{point}", RehearsedJob(break_at=point)
        try:
            await receive(job, path, wanted(sha256=SHA256), Script(gives(CONTENT)))
        except Crash:
            with path.open("ab") as file:
                file.write(b"what was written and not noted")
            script = Script(gives(CONTENT))
            again = RehearsedJob(job.records)
            await receive(again, path, wanted(sha256=SHA256), script)
            farthest = max(farthest, *[offset for offset, _ in script.asked or [(0, "")]])
            assert path.read_bytes() == CONTENT
        else:
            break
    assert farthest >= 90_000
    assert point > 20


def test_a_real_kill_in_the_midst_loses_no_more_than_was_not_noted(tmp_path: Path) -> None:
    """The process itself ends; the next one goes by the record and the file on the disk."""
    program = textwrap.dedent(f"""
        import asyncio, json, os, signal, sys
        sys.path.insert(0, {str(Path.cwd())!r})
        from pathlib import Path
        from oms.agent.transfer import incoming
        from tests.agent.transfer.parts import Script, gives
        from tests.hosts.kvm_job import RehearsedJob

        class Kept(RehearsedJob):
            async def record(self, key, value):
                await super().record(key, value)
                Path({str(tmp_path / "records")!r}).write_text(json.dumps(self.records))

        incoming.SYNC_BYTES = 10_000
        content = Path({str(tmp_path / "content")!r}).read_bytes()
        reads = iter(range(10**9))
        die = lambda: os.kill(os.getpid(), signal.SIGKILL) if next(reads) == 55 else None
        script = Script(gives(content, on_read=die))
        wanted = incoming.Wanted("x", 5, 5)
        asyncio.run(incoming.receive(Kept(), Path({str(tmp_path / "a")!r}), wanted, script))
    """)
    (tmp_path / "content").write_bytes(CONTENT)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    script = Script(gives(CONTENT))
    records = json.loads((tmp_path / "records").read_text())
    asyncio.run(receive(RehearsedJob(records), tmp_path / "a", wanted(sha256=SHA256), script))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert script.asked == [(50_000, "")]


async def test_cancelled_it_lets_go_at_once(tmp_path: Path) -> None:
    """Even while nothing comes: hanging up wakes whoever reads."""
    gone = threading.Event()

    class Hanging(Scripted):
        def read(self) -> bytes:
            gone.wait(20)
            raise Broken("hung up")

        def hang_up(self) -> None:
            gone.set()

    coming = asyncio.create_task(
        receive(RehearsedJob(), tmp_path / "a", wanted(), Script(lambda o: Hanging(CONTENT, o)))
    )
    await asyncio.sleep(0.2)
    coming.cancel()
    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await coming
    assert gone.is_set()


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_a_disk_without_room_is_told_before_and_one_that_fills_up_meanwhile(tmp_path: Path) -> None:
    big = os.urandom(4_000_000)
    with small_disk.mounted(tmp_path, 16) as disk:
        with pytest.raises(NoSpace, match=r"'a\.iso' needs"):
            await receive(RehearsedJob(), disk / "a", wanted(), Script(gives(CONTENT, size=10**9)))
        full = iter([None] * 50 + [disk])

        def fill_up() -> None:
            if (where := next(full, None)) is not None:
                small_disk.fill(where)

        with pytest.raises(FuncManError) as failure:
            await receive(
                RehearsedJob(), disk / "b", wanted(),
                Script(gives(big, piece=20_000, on_read=fill_up)),
            )  # fmt: skip
        assert isinstance(failure.value, NoSpace)
