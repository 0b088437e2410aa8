"""Trees of files that go from one host to another: whole, with other ids, and nowhere else."""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.agent.host import confined, process, rsync
from oms.contract.errors import FuncManError, NoSpace
from tests.hosts.trees import disk_use_kb, ids, seen, varied
from tests.small_disk import SmallDisk
from tests.waiting import eventually

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("rsync"), reason="needs root and rsync"),
]
HERE, THERE = ids(100000), ids(300000)
SOON = 30.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory through which others than root pass, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="oms-trees-") as name:
        Path(name).chmod(0o711)
        for part, mapped in (("here", HERE), ("there", THERE)):
            tree = Path(name, part)
            tree.mkdir(mode=0o700)
            os.chown(tree, mapped[0].outside, mapped[1].outside)
        yield Path(name)


async def carry(source: Path, target: Path) -> list[BaseException | None]:
    """One pass; what each side raised."""
    one, other = socket.socketpair()
    async with asyncio.timeout(SOON):
        sides = (rsync.send(source, HERE, one), rsync.receive(target, THERE, other))
        return list(await asyncio.gather(*sides, return_exceptions=True))


async def confined_sh(tree: Path, script: str) -> str:
    done = await process.run(confined.argv(tree, THERE, ["/bin/sh", "-c", script]), timeout=SOON)
    assert not done.exit, done.words
    return done.stdout.decode()


async def test_a_tree_arrives_as_it_was_with_the_ids_of_its_new_owner(place: Path) -> None:
    here, there = place / "here", place / "there"
    varied(here, HERE)
    assert await carry(here, there) == [None, None]
    assert seen(there, THERE) == seen(here, HERE)
    assert disk_use_kb(there) < 1024, "holes were filled"
    (here / "etc/plain").write_text("changed")
    (here / "setuid").unlink()
    (here / "sticky").rmdir()
    (here / "new").write_text("new")
    os.chown(here / "new", HERE[0].outside + 1, HERE[1].outside + 2)
    assert await carry(here, there) == [None, None]
    assert seen(there, THERE) == seen(here, HERE)


async def test_a_change_that_leaves_the_size_is_seen_within_the_same_second(place: Path) -> None:
    here, there = place / "here", place / "there"
    file = here / "file"
    for content, nanoseconds in (("before", 1), ("after!", 2)):
        file.write_text(content)
        os.chown(file, HERE[0].outside, HERE[1].outside)
        os.utime(file, ns=(0, 1_000_000_000 + nanoseconds))
        assert await carry(here, there) == [None, None]
        assert (there / "file").read_text() == content


async def test_links_that_lead_out_of_the_tree_are_never_followed(place: Path) -> None:
    here, there = place / "here", place / "there"
    victim = place / "victim"
    victim.mkdir(mode=0o777)
    victim.chmod(0o777)
    (there / "data").symlink_to(victim)
    os.lchown(there / "data", THERE[0].outside, THERE[1].outside)
    (here / "data").mkdir()
    (here / "data/file").write_text("escaped")
    for path in (here / "data", here / "data/file"):
        os.chown(path, HERE[0].outside, HERE[1].outside)
    assert await carry(here, there) == [None, None]
    assert list(victim.iterdir()) == []
    assert (there / "data/file").read_text() == "escaped"


async def test_what_is_confined_sees_nothing_but_the_tree_and_programs(place: Path) -> None:
    there, victim = place / "there", place / "victim"
    victim.mkdir(mode=0o777)
    victim.chmod(0o777)
    (there / "out").symlink_to(victim)
    script = f"""
        touch out/through-a-link {victim}/by-a-path /usr/by-a-path 2>/dev/null
        mknod disk b 7 0 2>/dev/null && echo made a device
        mount -t tmpfs none /tree 2>/dev/null && echo mounted
        chown 70000 inside 2>/dev/null && echo took an id that is not its own
        ls / ; cat /etc/passwd /proc/1/status 2>/dev/null
        ls /sys/class/net 2>/dev/null
        touch inside && echo inside
    """
    assert (await confined_sh(there, script)).split() == [
        "bin",
        "dev",
        "lib",
        "lib64",
        "sbin",
        "tree",
        "usr",
        "inside",
    ]
    assert list(victim.iterdir()) == []
    assert (there / "inside").stat().st_uid == THERE[0].outside
    assert not Path("/usr/by-a-path").exists()


async def test_a_program_that_is_given_up_leaves_nothing_behind(place: Path) -> None:
    there = place / "there"
    waiting = asyncio.create_task(confined_sh(there, "touch begun; exec sleep 600"))
    await eventually((there / "begun").exists)
    assert _running_as(THERE[0].outside)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await eventually(lambda: not _running_as(THERE[0].outside))


def _running_as(user: int) -> list[str]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            text = status.read_text()
            if f"Uid:\t{user}\t" in text and "State:\tZ" not in text:
                found.append(text)
    return found


async def test_a_full_disk_is_said_so(place: Path) -> None:
    here = place / "here"
    (here / "large").write_bytes(os.urandom(6 * 1024 * 1024))
    os.chown(here / "large", HERE[0].outside, HERE[1].outside)
    with SmallDisk(place / "disk", 4) as disk:
        tree = disk.directory / "tree"
        tree.mkdir()
        os.chown(tree, THERE[0].outside, THERE[1].outside)
        sent, received = await carry(here, tree)
    assert isinstance(received, NoSpace)
    assert isinstance(sent, FuncManError)


async def test_a_conversation_that_breaks_is_an_error_on_both_sides(place: Path) -> None:
    one, other = socket.socketpair()
    other.close()
    with pytest.raises(FuncManError):
        await rsync.send(place / "here", HERE, one)
    one, other = socket.socketpair()
    other.sendall(b"this is no rsync at all, and never was")
    other.close()
    with pytest.raises(FuncManError):
        await rsync.receive(place / "there", THERE, one)
