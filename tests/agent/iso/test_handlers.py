"""ISO images come, are listed and go; whatever breaks, a half one is never one of them."""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from oms.agent.context import Host
from oms.agent.host import files
from oms.agent.iso import handlers
from oms.agent.transfer import arrival, incoming
from oms.agent.transfer.part import Broken
from oms.agent.transfer.web import Fetching, WebPart
from oms.contract import iso
from oms.contract.errors import (
    AlreadyThere,
    HostBusy,
    InUse,
    JobCancelled,
    NoSpace,
    NotFetched,
    NotSupported,
    NotThere,
    Unusable,
)
from oms.contract.incoming import Upload
from tests import small_disk
from tests.agent.transfer.parts import Brings, Nobody, Script, gives
from tests.agent.transfer.web_server import Web, serving
from tests.hosts import kvm_job
from tests.hosts.kvm_job import Crash, RehearsedJob

CONTENT = os.urandom(50_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
UPLOAD = iso.UploadImage("a.iso", len(CONTENT), SHA256)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(incoming, "SYNC_BYTES", 10_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images", "iso"):
        (tmp_path / name).mkdir()
    return tmp_path


def host(folder: Path, job: RehearsedJob | None = None, script: Script | None = None, **more: Any) -> Host:
    relay = Brings(script or Script(gives(CONTENT)))
    return kvm_job.host(None, folder / "images", job, relay=relay, **more)


async def names(folder: Path) -> list[str]:
    return await handlers.list_images(iso.ListImages(), host(folder))


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in files.regular_files(folder / "iso"))


async def test_an_upload_answers_first_and_is_listed_when_it_is_whole(folder: Path) -> None:
    job = RehearsedJob()
    seen: list[list[str]] = []
    script = Script(
        gives(CONTENT, on_read=lambda: seen.append([path.name for path in (folder / "iso").iterdir()]))
    )
    answer = await handlers.upload_image(UPLOAD, host(folder, job, script))
    assert answer == Upload(job.id, f"/transfers/{job.id}")
    assert job.answers == [answer]
    assert seen
    assert all(listed == [".staging"] for listed in seen)
    assert await names(folder) == ["a.iso"]
    assert (folder / "iso/a.iso").read_bytes() == CONTENT
    assert (folder / "iso/a.iso").stat().st_mode & 0o777 == 0o600
    assert job.notes["sha256"] == SHA256
    assert left_in(folder) == ["a.iso"]
    (described,) = await handlers.describe_images(iso.DescribeImages(), host(folder))
    assert (described.name, described.size_kb, described.machines) == ("a.iso", len(CONTENT) // 1024, [])


async def test_a_wrong_checksum_leaves_nothing(folder: Path) -> None:
    with pytest.raises(Unusable, match=r"ISO image 'a\.iso' has come with the checksum"):
        await handlers.upload_image(iso.UploadImage("a.iso", len(CONTENT), "0" * 64), host(folder))
    assert left_in(folder) == []


async def test_an_upload_may_be_broken_off_anywhere_and_is_gone_on_with(folder: Path) -> None:
    for point in range(1, 100):
        op = iso.UploadImage(f"{point}.iso", len(CONTENT), SHA256)
        job = RehearsedJob(break_at=point)
        try:
            await handlers.upload_image(op, host(folder, job))
        except Crash:
            assert f"{point}.iso" not in await names(folder) or "placed" in "".join(job.records)
            script = Script(gives(CONTENT))
            await handlers.upload_image(op, host(folder, RehearsedJob(job.records), script))
            noted = [offset for offset, _ in script.asked]
            assert noted in ([], [noted[0] if noted else 0])
        else:
            break
        assert (folder / f"iso/{point}.iso").read_bytes() == CONTENT
    assert point > 20
    assert left_in(folder) == sorted(f"{number}.iso" for number in range(1, point + 1))


async def test_a_name_that_is_taken_is_refused_before_anything_comes(folder: Path) -> None:
    (folder / "iso/a.iso").write_text("another")
    job = RehearsedJob()
    with pytest.raises(AlreadyThere):
        await handlers.upload_image(UPLOAD, host(folder, job))
    assert job.answers == []
    assert (folder / "iso/a.iso").read_text() == "another"


async def test_a_name_that_is_taken_meanwhile_is_not_overwritten(folder: Path) -> None:
    def take() -> None:
        (folder / "iso/a.iso").write_text("another")

    with pytest.raises(AlreadyThere):
        await handlers.upload_image(UPLOAD, host(folder, script=Script(gives(CONTENT, on_read=take))))
    assert left_in(folder) == ["a.iso"]
    assert (folder / "iso/a.iso").read_text() == "another"


async def test_what_has_no_room_is_refused_before_anything_comes(folder: Path) -> None:
    job = RehearsedJob()
    with pytest.raises(NoSpace, match=r"ISO image 'a\.iso' needs"):
        await handlers.upload_image(iso.UploadImage("a.iso", 2**44), host(folder, job))
    assert job.answers == []
    assert left_in(folder) == []


async def test_two_that_bring_the_same_name_do_not_wait_for_each_other(folder: Path) -> None:
    first = host(folder, RehearsedJob(), Script(lambda _: Nobody()))
    bringing = asyncio.ensure_future(handlers.upload_image(UPLOAD, first))
    await asyncio.sleep(0.05)
    second = RehearsedJob()
    second.id = "f" * 32
    with pytest.raises(InUse, match=rf"on its way here already, by job {first.job.id}"):
        await handlers.upload_image(UPLOAD, kvm_job.sharing(first, second))
    bringing.cancel()
    await asyncio.gather(bringing, return_exceptions=True)


async def test_no_more_come_at_once_than_a_host_bears(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "MOST", 2)
    here = host(folder, RehearsedJob(), Script(lambda _: Nobody(Broken("nobody"))))
    monkeypatch.setattr(incoming, "FIRST_PAUSE_SECONDS", 1.0)
    bringing = []
    for number in range(2):
        job = RehearsedJob()
        job.id = f"{number}" * 32
        op = iso.UploadImage(f"{number}.iso", 5)
        bringing.append(asyncio.ensure_future(handlers.upload_image(op, kvm_job.sharing(here, job))))
    await asyncio.sleep(0.1)
    with pytest.raises(HostBusy, match="2 files are on their way"):
        await handlers.upload_image(iso.UploadImage("3.iso", 5), kvm_job.sharing(here, RehearsedJob()))
    for task in bringing:
        task.cancel()
    await asyncio.gather(*bringing, return_exceptions=True)


async def test_a_cancelled_upload_leaves_nothing(folder: Path) -> None:
    job = RehearsedJob()
    job.cancelled = True
    with pytest.raises(JobCancelled):
        await handlers.upload_image(UPLOAD, host(folder, job))
    assert left_in(folder) == []


async def test_an_upload_to_which_nobody_comes_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "UPLOAD_IDLE_SECONDS", 0.05)
    with pytest.raises(NotFetched, match="nobody brings it"):
        await handlers.upload_image(UPLOAD, host(folder, script=Script(lambda _: Nobody())))
    assert left_in(folder) == []


async def test_a_host_without_a_way_says_so(folder: Path) -> None:
    with pytest.raises(NotSupported):
        await handlers.upload_image(UPLOAD, kvm_job.host(None, folder / "images"))


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_a_disk_that_fills_up_in_the_midst_leaves_all_as_it_was(folder: Path) -> None:
    big = os.urandom(4_000_000)
    (folder / "iso").rmdir()
    with small_disk.mounted(folder, 16) as disk:
        (folder / "iso").symlink_to(disk)
        (disk / "before.iso").write_text("before")
        full = iter([False] * 50 + [True])

        def fill_up() -> None:
            if next(full, False):
                small_disk.fill(disk)

        op = iso.UploadImage("a.iso", len(big))
        with pytest.raises(NoSpace, match=r"(no room|left to give)"):
            await handlers.upload_image(op, host(folder, script=Script(gives(big, piece=20_000, on_read=fill_up))))
        (disk / "filler").unlink()
        assert await names(folder) == ["before.iso"]
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["before.iso"]
        got = await handlers.upload_image(op, host(folder, script=Script(gives(big))))
        assert got.address
        assert (disk / "a.iso").read_bytes() == big


# --- copies ---


async def test_a_copy_is_checked_by_what_the_other_host_sends_after_it(folder: Path) -> None:
    sent = CONTENT + bytes.fromhex(SHA256)
    op = iso.CopyImage("a.iso", "h2")
    script = Script(gives(sent, breaks_at=20_000), gives(sent))
    got = await handlers.copy_image(op, host(folder, script=script))
    assert (got.size_bytes, got.sha256) == (len(CONTENT), SHA256)
    assert (folder / "iso/a.iso").read_bytes() == CONTENT
    with pytest.raises(NotThere):
        await handlers.copy_image(
            iso.CopyImage("b.iso", "h2"), host(folder, script=Script(lambda _: Nobody(NotThere("none there"))))
        )
    damaged = Script(gives(sent[:100] + b"x" + sent[101:]))
    with pytest.raises(Unusable):
        await handlers.copy_image(iso.CopyImage("b.iso", "h2"), host(folder, script=damaged))
    assert left_in(folder) == ["a.iso"]


# --- from the web ---


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    look_up = lambda _name, _port: ["127.0.0.1"]  # noqa: E731
    monkeypatch.setattr(arrival, "WebPart", partial(WebPart, look_up=look_up))
    with serving(CONTENT) as server:
        yield server


async def test_an_image_is_fetched_and_checked(folder: Path, web: Web) -> None:
    fetching = Fetching(private=True)
    got = await handlers.fetch_image(iso.FetchImage("a.iso", web.url, SHA256), host(folder, fetching=fetching))
    assert (got.size_bytes, got.sha256) == (len(CONTENT), SHA256)
    assert (folder / "iso/a.iso").read_bytes() == CONTENT
    with pytest.raises(Unusable):
        await handlers.fetch_image(iso.FetchImage("b.iso", web.url, "0" * 64), host(folder, fetching=fetching))
    assert left_in(folder) == ["a.iso"]


async def test_what_comes_by_http_needs_a_checksum_and_a_public_address(folder: Path, web: Web) -> None:
    with pytest.raises(NotFetched, match="Nobody vouches"):
        await handlers.fetch_image(iso.FetchImage("a.iso", web.url), host(folder, fetching=Fetching(private=True)))
    with pytest.raises(NotFetched, match="no address in the public internet"):
        await handlers.fetch_image(iso.FetchImage("a.iso", web.url, SHA256), host(folder))
    limits = Fetching(private=True, largest_bytes=49_999)
    with pytest.raises(NotFetched, match=r"has more than 48\.8 KiB"):
        await handlers.fetch_image(iso.FetchImage("a.iso", web.url, SHA256), host(folder, fetching=limits))
    assert web.asked[1:] == []
    assert left_in(folder) == []


async def test_a_fetch_may_be_broken_off_anywhere(folder: Path, web: Web) -> None:
    fetching = Fetching(private=True)
    for point in range(1, 100):
        op = iso.FetchImage(f"{point}.iso", web.url, SHA256)
        job = RehearsedJob(break_at=point)
        try:
            await handlers.fetch_image(op, host(folder, job, fetching=fetching))
        except Crash:
            await handlers.fetch_image(op, host(folder, RehearsedJob(job.records), fetching=fetching))
        else:
            break
        assert (folder / f"iso/{point}.iso").read_bytes() == CONTENT
    assert point > 10


# --- deleting ---


async def test_an_image_is_deleted_and_deleting_may_be_broken_off_anywhere(folder: Path) -> None:
    for point in range(1, 10):
        (folder / "iso/a.iso").write_bytes(CONTENT)
        job = RehearsedJob(break_at=point)
        try:
            assert await handlers.delete_image(iso.DeleteImage("a.iso"), host(folder, job)) == 0
        except Crash:
            again = RehearsedJob(job.records)
            assert await handlers.delete_image(iso.DeleteImage("a.iso"), host(folder, again)) == 0
        assert left_in(folder) == []
    with pytest.raises(NotThere):
        await handlers.delete_image(iso.DeleteImage("a.iso"), host(folder))


@pytest.mark.parametrize("name", ["../images/x.img", "/etc/passwd", "link.iso", ".staging", "dir.iso"])
async def test_nothing_else_is_deleted(folder: Path, name: str) -> None:
    (folder / "images/x.img").write_text("disk")
    (folder / "iso/link.iso").symlink_to(folder / "images/x.img")
    (folder / "iso/dir.iso").mkdir()
    assert await names(folder) == []
    with pytest.raises(NotThere):
        await handlers.delete_image(iso.DeleteImage(name), host(folder))
    assert (folder / "images/x.img").read_text() == "disk"
