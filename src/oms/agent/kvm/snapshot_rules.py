"""Of which machines snapshots can be made, and to which one can go back. Pure."""

from collections.abc import Iterator

from oms.agent.guests import Definition, Disk, Machine
from oms.agent.guests.snapshots import Snapshot
from oms.agent.kvm.conditions import check_kept, present
from oms.contract.errors import FuncManError, NotThere, Unusable

WRITTEN = frozenset({"disk", "lun", "floppy"})


def check_can_have(machine: Machine) -> None:
    """Raises FuncManError, with every reason, for a machine of which no snapshot can be made for sure."""
    check_kept(machine, "have snapshots")
    _check_not_saved(machine, "a snapshot of it would be without what it was doing")
    drives = written(present(machine))
    if not drives:
        raise Unusable(f"Machine {machine.name!r} has no disk that a snapshot could lie in", machine=machine.name)
    if whys := {drive.target: why for drive in drives if (why := _why_not(drive))}:
        reasons = "; ".join(f"drive {target} {why}" for target, why in whys.items())
        raise Unusable(
            f"Of machine {machine.name!r} no snapshot can be made: {reasons}. Only qcow2 images hold snapshots, "
            "and all disks of a machine must be such.",
            machine=machine.name,
            drives=whys,
        )


def check_can_go_back(machine: Machine, snapshot: Snapshot) -> None:
    """Raises FuncManError."""
    check_kept(machine, "be put back")
    _check_not_saved(machine, "that would no longer fit its disks")
    check_ours(machine, snapshot)


def check_ours(machine: Machine, snapshot: Snapshot) -> None:
    """Raises Unusable for a snapshot in files of its own."""
    if not snapshot.internal or snapshot.state == "disks":
        raise Unusable(
            f"Snapshot {snapshot.name!r} of machine {machine.name!r} was made elsewhere, in files of its own, and "
            "is left to whoever made it: those files may stand upon each other",
            snapshot=snapshot.name,
        )


def named(name: str, machine: Machine, snapshots: list[Snapshot]) -> Snapshot:
    """The snapshot of that name. Raises NotThere."""
    for snapshot in snapshots:
        if snapshot.name == name:
            return snapshot
    there = ", ".join(snapshot.name for snapshot in snapshots) or "none"
    raise NotThere(f"Machine {machine.name!r} has no snapshot {name!r}; it has: {there}", snapshot=name)


def written(definition: Definition) -> list[Disk]:
    """The drives that a guest can write to, which a snapshot must keep; an empty drive is none."""
    return [
        disk for disk in definition.disks if disk.device in WRITTEN and not disk.read_only and not _is_empty(disk)
    ]


def differences(machine: Machine, snapshot: Snapshot) -> Iterator[str]:
    """What of a machine's drives and interfaces going back will take away or bring, for its job's notes."""
    now, then = present(machine), snapshot.definition
    for noun, before, after in (
        ("drive", _drives(now), _drives(then)),
        ("network interface", {nic.mac for nic in now.nics}, {nic.mac for nic in then.nics}),
    ):
        yield from (f"{noun} {name} goes: it was not there then" for name in sorted(before - after))
        yield from (f"{noun} {name} is back: it was there then" for name in sorted(after - before))


def _drives(definition: Definition) -> set[str]:
    return {f"{disk.target} ({disk.file.name})" for disk in definition.disks if disk.file is not None}


def _is_empty(disk: Disk) -> bool:
    return disk.device == "floppy" and disk.file is None and not disk.sources


def _why_not(drive: Disk) -> str:
    if drive.file is None:
        return "is no file of this host"
    return "" if drive.format == "qcow2" else f"is {drive.format or 'of no format that its definition names'}"


def _check_not_saved(machine: Machine, why: str) -> None:
    if machine.saved:
        raise FuncManError(
            f"Machine {machine.name!r} is saved, and {why}; start it with start_vm, or drop that with "
            "discard_saved_vm, first",
            machine=machine.name,
        )
