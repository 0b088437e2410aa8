"""Which machines can move, and what of theirs comes along. Pure but for one look at each file's beginning."""

from pathlib import Path

from oms.agent.context import Storage
from oms.agent.guests import Definition, Disk, Machine
from oms.agent.guests.snapshots import Snapshot
from oms.agent.kvm import seeds
from oms.agent.kvm.conditions import check_kept, condition
from oms.agent.moving.words import Being, Medium
from oms.contract.errors import FuncManError, NotSupported, Unusable

FORMATS = ("qcow2", "raw")


def being(machine: Machine) -> Being:
    """What it does. Raises FuncManError for one that is neither on nor off."""
    if machine.live is None:
        return "off"
    match machine.state:
        case "running":
            return "running"
        case "paused":
            return "paused"
        case _:
            raise FuncManError(
                f"Machine {machine.name!r} is {condition(machine)}: end it, then move it", machine=machine.name
            )


def check_can_leave(machine: Machine, snapshots: list[Snapshot]) -> None:
    """Raises FuncManError for a machine of which a part would stay behind."""
    check_kept(machine, "be moved")
    if machine.saved:
        raise FuncManError(
            f"Machine {machine.name!r} has its state saved on this host's disk: start it, or drop that with "
            "discard_saved_vm, then move it",
            machine=machine.name,
        )
    if snapshots:
        names = ", ".join(snapshot.name for snapshot in snapshots)
        raise NotSupported(
            f"Machine {machine.name!r} has snapshots, which do not come along: delete them first ({names})",
            machine=machine.name,
        )
    if machine.live is not None and _drives(machine.live) != _drives(machine.kept):
        raise NotSupported(
            f"Machine {machine.name!r} has other drives now than at its next start: make them the same first",
            machine=machine.name,
        )


def media(machine: Machine, storage: Storage) -> tuple[tuple[Medium, Path], ...]:
    """What is in its drives, and where, sizes left out. Raises NotSupported, Unusable."""
    definition = machine.live or machine.kept
    assert definition is not None
    found = (_medium(disk, machine, storage) for disk in definition.disks)
    return tuple(one for one in found if one is not None)


def _drives(definition: Definition | None) -> dict[str, Path | None]:
    return {disk.target: disk.file for disk in definition.disks} if definition else {}


def _medium(disk: Disk, machine: Machine, storage: Storage) -> tuple[Medium, Path] | None:
    file = disk.file
    if file is None:
        if disk.sources or disk.device in ("disk", "lun"):
            raise _stays(disk, machine, "is no file: only files can be moved")
        return None
    at_home = file.parent == storage.images
    if disk.device == "disk":
        if disk.format not in FORMATS or not file.is_absolute():
            raise _stays(disk, machine, f"is of the format {disk.format!r}, not qcow2 or raw")
        return Medium(disk.target, "image", file.name, disk.format, at_home=at_home), file  # type: ignore[arg-type]
    if file == seeds.path_of(storage.images, machine.uuid):
        return Medium(disk.target, "seed", file.name), file
    if disk.device == "cdrom" and file.parent == storage.iso:
        return Medium(disk.target, "iso", file.name), file
    raise _stays(disk, machine, f"has {file.name} in it, which is not in the library of ISO images: take it out")


def _stays(disk: Disk, machine: Machine, why: str) -> NotSupported:
    return NotSupported(
        f"Machine {machine.name!r} cannot be moved: drive {disk.target} {why}",
        machine=machine.name,
        drive=disk.target,
    )


def check_whole(medium: Medium, backing: str) -> None:
    """Of a machine that is off, whose files are copied as they are. Raises Unusable."""
    if backing:
        raise Unusable(
            f"Disk image {medium.name} stands upon {Path(backing).name}, and would be half a disk elsewhere: "
            "start the machine and move it while it runs, then its disk is copied whole",
            image=medium.name,
        )
