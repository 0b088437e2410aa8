"""Which machines move and which do not, what comes along, and what a host that was taken over can do: nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from oms.agent.guests.libvirt.doorkeeper import HEAD, LENGTH, REMOTE, text
from oms.agent.guests.moves import CONTROL
from oms.agent.host import qemu_img
from oms.agent.kvm import seeds
from oms.agent.moving import files as sent
from oms.agent.moving import leaving, receiving
from oms.agent.moving.words import STREAM, Abort, Commit, Dropped, FromHere, Medium, Offer, Ready, Refused, Sent
from oms.agent.passage import crossing
from oms.agent.passage.stream import PIECE_BYTES, Cut, Stream
from oms.contract.errors import (
    AlreadyThere,
    FuncManError,
    InUse,
    NoMemory,
    NoSpace,
    NotSupported,
    NotThere,
    OmsError,
    Unusable,
)
from oms.contract.internal import ReceiveMachine
from tests.hosts.kvm_machines import disk_xml, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.migration_rig import Both, Job, both_hosts
from tests.hosts.movers import MB, count, counting_disk, counting_xml
from tests.small_disk import SmallDisk

pytestmark = pytest.mark.hosts
CD = "<disk type='file' device='cdrom'><source file='{}'/><target dev='hdb' bus='ide'/><readonly/></disk>"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossing, "MEET_SECONDS", 5.0)
    monkeypatch.setattr(leaving, "TELL_SECONDS", 5.0)
    for module in (crossing, leaving):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(receiving, "SILENT_SECONDS", 0.7)


@pytest.fixture
async def both(libvirtd: PrivateLibvirtd, second_libvirtd: PrivateLibvirtd) -> AsyncIterator[Both]:
    async with both_hosts(libvirtd, second_libvirtd) as made:
        yield made


async def stays(both: Both, kind: type[OmsError], words: str) -> None:
    """It is refused so, and all is as it was."""
    domain = both.virt[0].lookupByName("m")
    before = (domain.XMLDesc(0), both.files(0), both.files(1), both.names(1), domain.autostart())
    answer = await both.moved()
    assert isinstance(answer, kind), repr(answer)
    assert words in answer.message
    assert before == (domain.XMLDesc(0), both.files(0), both.files(1), both.names(1), domain.autostart())


# --- what comes along


async def test_two_hosts_with_one_directory_of_images_copy_nothing(
    libvirtd: PrivateLibvirtd, second_libvirtd: PrivateLibvirtd
) -> None:
    async with both_hosts(libvirtd, second_libvirtd, same_images=True) as both:
        both.machine(running=True)
        disk = both.images[0] / "m.img"
        inode = disk.stat().st_ino
        await _counts(disk, 0)
        before = count(disk)
        assert await both.moved() == 0
        assert (both.names(0), both.names(1), disk.stat().st_ino) == ([], ["m"], inode)
        await _counts(disk, before[1] + 5)
        assert count(disk)[0] == before[0], "it was started anew"


async def test_a_directory_of_the_same_name_is_not_the_same(both: Both) -> None:
    (both.images[1] / ".staging").mkdir()
    for nonce in ("0" * 32, ""):
        named = offered(both, images=str(both.images[1]), nonce=nonce)
        async with impostor(both, named) as (words, _crossing):
            answer = await words.hear(FromHere)
            assert isinstance(answer, Ready)
            assert answer.copied == ("hda",), "nobody has shown that it is there"
            await words.say(Abort())


@pytest.mark.parametrize("running", [True, False])
async def test_cds_and_first_settings_come_along(both: Both, *, running: bool) -> None:
    for images in both.images:
        (images.parent / "iso" / "a.iso").write_bytes(bytes(2048))
    both.machine(running=False, more=CD.format(both.images[0].parent / "iso" / "a.iso"))
    domain = both.virt[0].lookupByName("m")
    seed = seeds.path_of(both.images[0], domain.UUIDString())
    seed.parent.mkdir()
    seed.write_bytes(b"first settings" * 100)
    domain.attachDeviceFlags(CD.format(seed).replace("hdb", "hdc"), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    if running:
        domain.create()
    assert await both.moved() == 0
    moved = both.virt[1].lookupByName("m")
    for file in (both.images[1].parent / "iso" / "a.iso", seeds.path_of(both.images[1], moved.UUIDString())):
        assert f"'{file}'" in moved.XMLDesc(0)
    assert seeds.path_of(both.images[1], moved.UUIDString()).read_bytes() == b"first settings" * 100
    assert both.files(0) == {"iso/a.iso"}


async def test_its_password_and_its_next_start_come_along(both: Both) -> None:
    both.machine(running=True)
    domain = both.virt[0].lookupByName("m")
    domain.setVcpusFlags(2, libvirt.VIR_DOMAIN_AFFECT_CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    assert await both.moved() == 0
    moved = both.virt[1].lookupByName("m")
    assert "passwd='secret'" in moved.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
    assert "'>2</vcpu>" in moved.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)


async def test_a_linked_clone_that_runs_comes_whole(both: Both) -> None:
    base, disk = both.images[0] / "base.img", both.images[0] / "m.img"
    counting_disk(base, "qcow2", 1)
    made = await asyncio.create_subprocess_exec(
        "qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(disk)
    )
    await made.wait()
    both.virt[0].defineXML(counting_xml("m", disk, "qcow2"))
    await stays(both, Unusable, "stands upon base.img")
    both.virt[0].lookupByName("m").create()
    assert await both.moved() == 0
    base.unlink()
    moved = both.images[1] / "m.img"
    assert (await qemu_img.info(moved, "qcow2")).backing_filename == ""
    await _counts(moved, 0, "qcow2")


# --- what does not


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ("<interface type='bridge'><source bridge='nowhere0'/></interface>", NotThere, "nowhere0"),
        (CD.format("/nowhere/b.iso"), NotSupported, "not in the library"),
        (disk_xml(Path("/dev/loop0"), "vdb").replace("type='file'", "type='block'").replace("file=", "dev="),
         NotSupported, "vdb"),
        ("<serial type='file'><source path='/tmp/x'/></serial>", NotSupported, "serial"),
        ("<filesystem type='mount'><source dir='/'/><target dir='x'/></filesystem>", NotSupported, "filesystem"),
    ],
)  # fmt: skip
async def test_what_the_other_host_does_not_have_is_named(
    both: Both, more: str, kind: type[OmsError], words: str
) -> None:
    both.machine(running=False, more=more)
    await stays(both, kind, words)


async def test_an_iso_image_that_the_other_host_lacks_is_named(both: Both) -> None:
    iso = both.images[0].parent / "iso" / "a.iso"
    iso.write_bytes(bytes(2048))
    both.machine(running=False, more=CD.format(iso))
    await stays(both, NotThere, "a.iso")


async def test_names_that_are_taken_there_are_refused(both: Both) -> None:
    both.machine(running=False)
    (both.images[1] / "m.img").write_bytes(b"somebody's")
    await stays(both, AlreadyThere, "m.img")
    (both.images[1] / "m.img").unlink()
    both.virt[1].defineXML(small_xml("m"))
    await stays(both, AlreadyThere, "'m'")
    both.virt[1].lookupByName("m").undefine()
    uuid = both.virt[0].lookupByName("m").UUIDString()
    both.virt[1].defineXML(small_xml("n").replace("<name>", f"<uuid>{uuid}</uuid><name>"))
    await stays(both, AlreadyThere, uuid)


async def test_snapshots_a_saved_state_and_other_drives_are_refused(both: Both) -> None:
    both.machine(running=False, disk_format="qcow2")
    domain = both.virt[0].lookupByName("m")
    snapshot = domain.snapshotCreateXML("<domainsnapshot><name>before</name></domainsnapshot>")
    await stays(both, NotSupported, "before")
    snapshot.delete()
    domain.create()
    domain.managedSave()
    await stays(both, FuncManError, "saved")
    domain.managedSaveRemove()
    domain.create()
    second = both.images[0] / "second.img"
    second.write_bytes(bytes(MB))
    domain.attachDeviceFlags(disk_xml(second, "vdb"), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    await stays(both, NotSupported, "other drives")


async def test_one_without_a_kept_definition_is_refused(both: Both) -> None:
    both.virt[0].createXML(small_xml("m"))
    await stays(both, FuncManError, "gone when it stops")


async def test_too_little_memory_is_told(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    both.machine(running=True)
    capacity = both.machines(1).capacity

    async def little() -> Any:
        import msgspec

        return msgspec.structs.replace(await capacity(), available_memory_kb=1024)

    monkeypatch.setattr(both.machines(1), "capacity", little)
    await stays(both, NoMemory, "1 MB left")
    both.virt[0].lookupByName("m").destroy()
    assert await both.moved() == 0, "one that is off needs none"


# --- room


async def test_too_little_room_is_told_before_anything_goes(both: Both) -> None:
    with SmallDisk(both.images[1], 8):
        both.machine(running=True, filled_mb=10)
        await stays(both, NoSpace, "nothing was changed")


async def test_a_disk_that_gets_full_while_files_come_leaves_all_as_it_was(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SmallDisk(both.images[1], 24) as small:
        both.machine(running=False, filled_mb=16)
        before = (both.images[0] / "m.img").read_bytes()
        receive = sent.receive

        async def into_a_full_one(*args: Any) -> None:
            with small.full():
                await receive(*args)

        monkeypatch.setattr(sent, "receive", into_a_full_one)
        answer = await both.moved()
        assert isinstance(answer, NoSpace), repr(answer)
        assert (both.images[0] / "m.img").read_bytes() == before
        assert both.is_in_one_place(running=False, reason=answer) == 0


# --- a host that was taken over


@contextlib.asynccontextmanager
async def impostor(both: Both, offer: Offer | None = None) -> AsyncIterator[tuple[Any, Any]]:
    """The side that comes, as somebody else wrote it: its words and its way."""
    job = Job("a")
    op = lambda certificate: ReceiveMachine("m", UUID, job.id, certificate)  # noqa: E731
    both.running, both.outcome, both.breaks = None, None, None
    async with both.passages[0].crossing(job, op) as crossing:
        words = None
        while words is None:
            await asyncio.sleep(0.02)
            with contextlib.suppress(Cut):
                words = await crossing.open(STREAM)
        await words.say(offer or offered(both))
        yield words, crossing
    await both.running


UUID = "11111111-2222-4333-8444-555555555555"


def offered(both: Both, **changes: Any) -> Offer:
    disk = "<disk type='file' device='disk'><source file='/x/m.img'/><target dev='hda' bus='ide'/></disk>"
    xml = small_xml("m", devices=disk).replace("<name>", f"<uuid>{UUID}</uuid><name>")
    given: dict[str, Any] = {
        "job": "a" * 32,
        "being": "running",
        "live": xml,
        "kept": xml,
        "autostart": False,
        "memory_kb": 32768,
        "media": (Medium("hda", "image", "m.img", "raw", MB, MB),),
        "images": "/x",
        "nonce": "0" * 32,
    }
    return Offer(**{**given, **changes})


def call(procedure: int, body: bytes = b"", program: int = REMOTE) -> bytes:
    whole = HEAD.pack(program, 1, procedure, 0, 1, 0) + body
    return LENGTH.pack(LENGTH.size + len(whole)) + whole


DEFINE_XML, CREATE_XML, DESTROY = 11, 10, 12


@pytest.mark.parametrize(
    "said",
    [
        call(CREATE_XML, text(small_xml("evil")) + LENGTH.pack(0)),
        call(DEFINE_XML, text(small_xml("evil"))),
        call(DESTROY, text("bystander") + bytes(16) + LENGTH.pack(1)),
        call(1, program=0x20008087),
        b"\xff" * 64,
    ],
    ids=["create", "define", "destroy", "monitor", "noise"],
)
async def test_it_cannot_say_anything_else_to_the_hypervisor(both: Both, said: bytes) -> None:
    bystander = both.virt[1].defineXML(small_xml("bystander"))
    bystander.create()
    async with impostor(both) as (words, crossing):
        assert isinstance(await words.hear(FromHere), Ready)
        control = await crossing.open(CONTROL)
        await control.send(said)
        await _is_cut(control)
        assert bystander.isActive()
        assert both.names(1) == ["bystander"]
        await words.say(Abort())
        assert isinstance(await words.hear(FromHere), Dropped)
    assert both.files(1) == set()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"media": (Medium("hda", "image", "../../etc/passwd", "raw", MB),)}, "NotThere"),
        ({"media": (Medium("hda", "iso", "../images/x", "raw", MB),)}, "NotThere"),
        ({"media": ()}, "Unusable"),
        ({"media": (Medium("hda", "image", "m.img", "raw", 1 << 50, 1 << 50),)}, "NoSpace"),
        ({"live": small_xml("other")}, "Unusable"),
        ({"live": "<domain"}, "Unusable"),
        ({"kept": small_xml("m")}, "Unusable"),
    ],
)
async def test_an_offer_of_something_else_is_refused_and_leaves_nothing(
    both: Both, changes: dict[str, Any], kind: str
) -> None:
    async with impostor(both, offered(both, **changes)) as (words, _crossing):
        answer = await words.hear(FromHere)
        assert isinstance(answer, Refused)
        assert answer.error.kind == kind
    assert (both.files(1), both.names(1)) == (set(), [])


async def test_a_disk_of_this_host_cannot_be_claimed(both: Both) -> None:
    bystander = both.images[1] / "m.img"
    bystander.write_bytes(bytes(MB))
    both.virt[1].defineXML(small_xml("bystander", devices=disk_xml(bystander)))
    staging = both.images[1] / ".staging" / ("a" * 32)
    staging.mkdir(parents=True)
    (staging / "nonce").write_bytes(b"0" * 32)  # as if both had one directory
    same = offered(both, images=str(both.images[1]))
    async with impostor(both, same) as (words, _crossing):
        answer = await words.hear(FromHere)
        assert isinstance(answer, Refused)
        assert answer.error.kind == InUse.__name__
    assert bystander.exists()


async def test_what_has_not_come_is_not_kept(both: Both) -> None:
    async with impostor(both) as (words, _crossing):
        assert isinstance(await words.hear(FromHere), Ready)
        await words.say(Commit())
        assert isinstance(await words.hear(FromHere), Refused)
    assert (both.files(1), both.names(1)) == (set(), [])


async def test_a_file_that_is_more_than_was_offered_or_reaches_further_is_not_taken(both: Both) -> None:
    qcow2 = both.images[0] / "evil.img"
    made = await asyncio.create_subprocess_exec(
        "qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", str(qcow2), str(MB)
    )
    await made.wait()
    xml = offered(both).kept.replace("<source", "<driver name='qemu' type='qcow2'/><source")
    medium = Medium("hda", "image", "m.img", "qcow2", MB, MB)
    for content, kind in ((qcow2.read_bytes(), "Unusable"), (None, "")):
        offer = offered(both, being="off", live="", kept=xml, media=(medium,))
        async with impostor(both, offer) as (words, crossing):
            assert isinstance(await words.hear(FromHere), Ready)
            stream = await crossing.open("file hda")
            await stream.say(len(content) if content else 1 << 40)
            with contextlib.suppress(Cut):
                await stream.send(bytes(8) + (content or bytes(100))[:PIECE_BYTES])
                await stream.end()
            await words.say(Sent())
            if kind:
                answer = await words.hear(FromHere)
                assert isinstance(answer, Refused)
                assert answer.error.kind == kind
            await words.say(Abort())
        assert (both.files(1), both.names(1)) == (set(), [])


async def _is_cut(stream: Stream) -> None:
    with contextlib.suppress(Cut):
        while await stream.receive():
            pass


async def _counts(disk: Path, more_than: int, disk_format: str = "raw") -> None:
    async with asyncio.timeout(90):
        while not disk.exists() or count(disk, disk_format)[1] <= more_than:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
