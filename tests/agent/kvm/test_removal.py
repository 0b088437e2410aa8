"""Only disks that nobody else needs go with a machine."""

import struct
from pathlib import Path

import pytest

from oms.agent.guests import Definition, Disk, Machine
from oms.agent.kvm import removal


def image(path: Path, backing: str | None = None) -> Path:
    """A file with a qcow2 header, and nothing else of one."""
    name = (backing or "").encode()
    path.write_bytes(struct.pack(">4sIQI", b"QFI\xfb", 3, 20 if name else 0, len(name)) + name)
    return path


def defined(*disks: Disk) -> Definition:
    return Definition(
        vcpus=1, max_vcpus=1, memory_kb=1, max_memory_kb=1, vcpus_pinned=False, memory_pinned=False, balloon=False,
        disks=disks, nics=(),
    )  # fmt: skip


def disk(path: Path, device: str = "disk") -> Disk:
    assert device in {"disk", "cdrom"}
    return Disk("vda", "cdrom" if device == "cdrom" else "disk", path, (path,))


def machine(name: str, *disks: Disk, live: tuple[Disk, ...] | None = None) -> Machine:
    return Machine(f"uuid-{name}", name, "shutdown", None if live is None else defined(*live), defined(*disks))


def going(plan: removal.Plan) -> set[str]:
    return {file.path for file in plan.disks}


def test_own_disks_go_and_foreign_ones_and_cds_stay(images: Path, tmp_path: Path) -> None:
    own, foreign, cd = image(images / "a.img"), image(tmp_path / "b.img"), image(images / "c.iso")
    plan = removal.plan(machine("m", disk(own), disk(foreign), disk(cd, "cdrom")), [], images)
    assert going(plan) == {str(own)}
    assert plan.kept == {str(foreign): f"it is not in {images}"}


def test_a_disk_that_was_plugged_in_while_it_ran_goes_too(images: Path) -> None:
    first, second = image(images / "a.img"), image(images / "b.img")
    plan = removal.plan(machine("m", disk(first), live=(disk(first), disk(second))), [], images)
    assert going(plan) == {str(first), str(second)}


def test_a_disk_that_another_machine_has_stays(images: Path) -> None:
    shared, alone = image(images / "a.img"), image(images / "b.img")
    plan = removal.plan(machine("m", disk(shared), disk(alone)), [machine("other", disk(shared))], images)
    assert going(plan) == {str(alone)}
    assert plan.kept == {str(shared): "machine 'other' needs it"}


def test_it_stays_whatever_name_the_other_calls_it_by(images: Path, tmp_path: Path) -> None:
    shared = image(images / "a.img")
    by_link, by_hard_link = tmp_path / "link.img", tmp_path / "hard.img"
    by_link.symlink_to(shared)
    by_hard_link.hardlink_to(shared)
    for other in (by_link, by_hard_link, Path("a.img")):
        assert going(removal.plan(machine("m", disk(shared)), [machine("other", disk(other))], images)) == set()


@pytest.mark.parametrize(
    "backing", ["a.img", "{images}/a.img", "file:a.img", 'json:{{"file":{{"filename":"x/a.img"}}}}']
)
def test_a_disk_that_another_image_stands_upon_stays(images: Path, backing: str) -> None:
    base, top = image(images / "a.img"), images / "top.qcow2"
    image(top, backing.format(images=images))
    plan = removal.plan(machine("m", disk(base)), [], images)
    assert going(plan) == set()
    assert plan.kept == {str(base): f"the disk image {top} needs it"}


def test_that_image_may_lie_anywhere_if_a_machine_has_it(images: Path, tmp_path: Path) -> None:
    base, top = image(images / "a.img"), tmp_path / "top.qcow2"
    image(top, str(base))
    assert going(removal.plan(machine("m", disk(base)), [machine("other", disk(top))], images)) == set()


def test_a_disk_goes_although_its_own_machines_other_disk_stood_upon_it(images: Path) -> None:
    base, top = image(images / "a.img"), images / "top.qcow2"
    image(top, "a.img")
    plan = removal.plan(machine("m", disk(base), disk(top)), [], images)
    assert going(plan) == {str(base), str(top)}


def test_set_aside_asks_again_who_needs_it(images: Path) -> None:
    path = image(images / "a.img")
    plan = removal.plan(machine("m", disk(path)), [], images)
    assert removal.set_aside(plan, [machine("new", disk(path))], images, "job") == {
        str(path): "machine 'new' needs it"
    }
    assert path.exists()
    assert removal.set_aside(plan, [], images, "job") == {}
    assert not path.exists()


def test_set_aside_leaves_a_new_file_of_an_old_name(images: Path) -> None:
    path = image(images / "a.img")
    plan = removal.plan(machine("m", disk(path)), [], images)
    removal.set_aside(plan, [], images, "job")
    path.write_text("new")
    removal.set_aside(plan, [], images, "job")
    assert path.read_text() == "new"
