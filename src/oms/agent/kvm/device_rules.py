"""Which drives and network interfaces a machine may be given, and which can be taken out. Pure."""

from collections.abc import Collection, Iterator

from oms.agent.guests import Definition, Disk, Machine, Nic
from oms.agent.kvm.conditions import present
from oms.agent.kvm.domain_xml import PREFIXES, Bus, target
from oms.contract.errors import AlreadyThere, FuncManError, NotThere

WHILE_RUNNING = frozenset({"virtio", "scsi"})
MOST_DRIVES = 26 * 27  # what two letters can name


def definitions(machine: Machine) -> Iterator[Definition]:
    """As it runs, and as it will start."""
    yield from (definition for definition in (machine.live, machine.kept) if definition is not None)


def check_changeable(machine: Machine) -> None:
    """Raises FuncManError for a machine whose saved memory knows its parts as they were."""
    if machine.saved:
        raise FuncManError(
            f"Machine {machine.name!r} is saved, and what was saved knows its parts as they are; start it with "
            "start_vm, or drop that with discard_saved_vm, first",
            machine=machine.name,
        )


def check_bus(machine: Machine, bus: str, deed: str) -> None:
    """Raises FuncManError for a drive that a running machine cannot be given or lose."""
    if machine.live is not None and bus not in WHILE_RUNNING:
        raise FuncManError(
            f"Machine {machine.name!r} runs, and a drive on the bus {bus or 'that it has'} cannot be {deed} "
            "meanwhile: virtio and scsi can; or end it first",
            machine=machine.name,
            bus=bus,
        )


def check_controller(machine: Machine, bus: str) -> None:
    """Raises FuncManError: which kind of SCSI controller a guest has drivers for, nobody here knows, and a machine
    that has none cannot be given one while it runs."""
    if bus == "scsi" and not any(disk.bus == "scsi" for disk in present(machine).disks):
        raise FuncManError(
            f"Machine {machine.name!r} has no drive on the bus scsi, and so no controller for it: take virtio",
            machine=machine.name,
            bus=bus,
        )


def drive_name(machine: Machine, bus: Bus, wanted: str) -> str:
    """The name for a further drive on a bus: the one wanted, or else the first that is free. Raises AlreadyThere,
    FuncManError."""
    taken = {disk.target for definition in definitions(machine) for disk in definition.disks}
    if not wanted:
        return next(name for name in (target(bus, number) for number in range(MOST_DRIVES)) if name not in taken)
    if not wanted.startswith(PREFIXES[bus]):
        raise FuncManError(
            f"A drive on the bus {bus} is called {PREFIXES[bus]}a, {PREFIXES[bus]}b and so on, not {wanted!r}",
            drive=wanted,
        )
    if wanted in taken:
        raise AlreadyThere(f"Machine {machine.name!r} has a drive {wanted!r} already", drive=wanted)
    return wanted


def disk_called(machine: Machine, name: str) -> Disk:
    """The disk of that name. Raises NotThere, and FuncManError for a drive that is none."""
    found = _called(machine, name)
    if found.device in {"cdrom", "floppy"}:
        raise FuncManError(
            f"Drive {name!r} of machine {machine.name!r} is no disk: change_cdrom takes out what is in it",
            drive=name,
        )
    return found


def cd_drive(machine: Machine, name: str) -> Disk:
    """The CD drive of that name, or the only one. Raises NotThere, FuncManError."""
    drives = [disk for disk in present(machine).disks if disk.device == "cdrom"]
    if name:
        drives = [disk for disk in drives if disk.target == name]
    if len(drives) == 1:
        return drives[0]
    there = ", ".join(disk.target for disk in present(machine).disks if disk.device == "cdrom")
    if drives:
        raise FuncManError(
            f"Machine {machine.name!r} has several CD drives ({there}): say which", machine=machine.name
        )
    raise NotThere(
        f"Machine {machine.name!r} has no CD drive{f' {name!r}; it has: {there}' if name else ''}",
        machine=machine.name,
        drive=name,
    )


def nic_with(machine: Machine, mac: str) -> Nic:
    """The interface with that address. Raises NotThere."""
    for definition in definitions(machine):
        for nic in definition.nics:
            if nic.mac == mac:
                return nic
    there = ", ".join(nic.mac for nic in present(machine).nics) or "none"
    raise NotThere(f"Machine {machine.name!r} has no network interface {mac}; it has: {there}", mac_address=mac)


def addresses(machines: Collection[Machine]) -> dict[str, str]:
    """All interfaces' addresses, each with the name of its machine."""
    return {
        nic.mac: machine.name
        for machine in machines
        for definition in definitions(machine)
        for nic in definition.nics
    }


def _called(machine: Machine, name: str) -> Disk:
    for definition in definitions(machine):
        for disk in definition.disks:
            if disk.target == name:
                return disk
    there = ", ".join(disk.target for disk in present(machine).disks) or "none"
    raise NotThere(f"Machine {machine.name!r} has no drive {name!r}; it has: {there}", drive=name)
