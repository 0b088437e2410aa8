"""KVMService on this host: drives and network interfaces put in and taken out, and CDs changed.

What a machine has already, as it runs or as it will start, is not done again: so a run that was broken off, and in
between of which only one of both was changed, is finished by the next.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from oms.agent import shelf
from oms.agent.context import Host
from oms.agent.guests import Definition, Machine, Machines
from oms.agent.host.links import bridges
from oms.agent.images import catalogue, use
from oms.agent.images.handlers import lease
from oms.agent.kvm import device_rules as rules
from oms.agent.kvm import domain_xml
from oms.agent.kvm.conditions import machines_of
from oms.agent.kvm.domain_xml import NewDrive, NewNic, mac_address
from oms.contract.errors import (
    AlreadyThere,
    GuestDidNotReact,
    InUse,
    NotThere,
)
from oms.contract.handlers import Handlers
from oms.contract.kvm import devices as api

handlers: Handlers[Host] = Handlers()
LET_GO_SECONDS = 30.0
LOOK_SECONDS = 0.25
Has = Callable[[Definition], bool]
NOW_AND_LATER, NOW, LATER = "changed now and for the next starts", "changed now", "changed for the next start"


@handlers.handles(api.AttachDisk)
async def attach_disk(op: api.AttachDisk, host: Host) -> str:
    """Its format is the recorded one. Nobody else may have it, in any way."""
    machines, job, images = machines_of(host), host.job, host.storage.images
    path = shelf.path_of(images, op.diskimage_name)
    async with host.leases.hold(job, alone=(lease(op.diskimage_name),)):
        machine = await machines.find(op.kvm_vm_name)
        if (target := job.recall("drive")) is None:
            rules.check_changeable(machine)
            rules.check_bus(machine, op.bus, "given to it")
            rules.check_controller(machine, op.bus)
            await _refuse_used(op.diskimage_name, machines, images)
            target = rules.drive_name(machine, op.bus, op.drive)
            await job.record("drive", target)
        drive = NewDrive(str(path), target, op.bus, format=catalogue.known_format(path))

        def has(definition: Definition) -> bool:
            return any(disk.target == target and disk.file == path for disk in definition.disks)

        await _put_in(host, machine, has, domain_xml.drive(drive))
    return str(target)


@handlers.handles(api.DetachDisk)
async def detach_disk(op: api.DetachDisk, host: Host) -> int:
    """One that a run before this has taken out of both is not missed."""
    machine = await machines_of(host).find(op.kvm_vm_name)
    try:
        disk = rules.disk_called(machine, op.drive)
    except NotThere:
        if host.job.recall("goes"):
            return 0
        raise
    rules.check_changeable(machine)
    rules.check_bus(machine, disk.bus, "taken from it")

    def has(definition: Definition) -> bool:
        return any(other.target == op.drive for other in definition.disks)

    await host.job.record("goes", op.drive)
    await _take_out(host, machine, has, domain_xml.drive_to_detach(op.drive, disk.bus), f"drive {op.drive}")
    return 0


@handlers.handles(api.AttachNic)
async def attach_nic(op: api.AttachNic, host: Host) -> str:
    """The address is written down first, so that the machine never gets two interfaces."""
    machines, job = machines_of(host), host.job
    machine = await machines.find(op.kvm_vm_name)
    if (mac := job.recall("mac")) is None:
        rules.check_changeable(machine)
        await _check_network(op, machines)
        mac = _free_address(op.mac_address.lower(), rules.addresses(await machines.all()))
        await job.record("mac", mac)

    def has(definition: Definition) -> bool:
        return any(nic.mac == mac for nic in definition.nics)

    nic = NewNic(kind=op.kind, source=op.network_name, mac=mac, model=op.model)
    await _put_in(host, machine, has, domain_xml.nic(nic))
    return str(mac)


@handlers.handles(api.DetachNic)
async def detach_nic(op: api.DetachNic, host: Host) -> int:
    """One that a run before this has taken out of both is not missed."""
    machine, mac = await machines_of(host).find(op.kvm_vm_name), op.mac_address.lower()
    try:
        rules.nic_with(machine, mac)
    except NotThere:
        if host.job.recall("goes"):
            return 0
        raise
    rules.check_changeable(machine)

    def has(definition: Definition) -> bool:
        return any(nic.mac == mac for nic in definition.nics)

    await host.job.record("goes", mac)
    await _take_out(host, machine, has, domain_xml.nic_to_detach(mac), f"network interface {mac}")
    return 0


@handlers.handles(api.ChangeCdrom)
async def change_cdrom(op: api.ChangeCdrom, host: Host) -> int:
    """An ISO image may be in many drives."""
    machines, iso = machines_of(host), host.storage.iso
    async with host.leases.hold(host.job, shared=(f"iso/{op.cdrom_iso}",) if op.cdrom_iso else ()):
        machine = await machines.find(op.kvm_vm_name)
        rules.check_changeable(machine)
        drive = rules.cd_drive(machine, op.drive)
        if op.cdrom_iso:
            shelf.find(iso, op.cdrom_iso, "ISO image")
        medium = iso / op.cdrom_iso if op.cdrom_iso else None

        def lacks(definition: Definition | None) -> bool:
            drives = [disk for disk in definition.disks if disk.target == drive.target] if definition else []
            return bool(drives) and drives[0].file != medium

        live, kept = lacks(machine.live), lacks(machine.kept)
        if live or kept:
            xml = domain_xml.cd_drive(str(medium or ""), drive.target, drive.bus)
            await machines.update(machine.uuid, xml, live=live, kept=kept)
        _note(host, machine)
    return 0


async def _put_in(host: Host, machine: Machine, has: Has, xml: str) -> None:
    live = machine.live is not None and not has(machine.live)
    kept = machine.kept is not None and not has(machine.kept)
    if live or kept:
        await machines_of(host).attach(machine.uuid, xml, live=live, kept=kept)
    _note(host, machine)


async def _take_out(host: Host, machine: Machine, has: Has, xml: str, what: str) -> None:
    """From the running machine first: only when its guest has let go is it taken out for good. Raises
    GuestDidNotReact, with nothing changed."""
    machines = machines_of(host)
    if machine.live is not None and has(machine.live):
        await machines.detach(machine.uuid, xml, live=True, kept=False)
        if not await _in_time(lambda: _is_gone(machine.uuid, machines, has)):
            raise GuestDidNotReact(
                f"The guest of machine {machine.name!r} did not let go of {what} within {LET_GO_SECONDS:g} s, so "
                "the machine keeps it, unless its guest lets go later. Repeat, or end the machine first",
                machine=machine.name,
            )
    if machine.kept is not None and has(machine.kept):
        await machines.detach(machine.uuid, xml, live=False, kept=True)
    _note(host, machine)


async def _in_time(true: Callable[[], Awaitable[bool]]) -> bool:
    end = asyncio.get_running_loop().time() + LET_GO_SECONDS
    while not await true():
        if asyncio.get_running_loop().time() >= end:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


async def _is_gone(uuid: str, machines: Machines, has: Has) -> bool:
    live = (await machines.find(uuid)).live
    return live is None or not has(live)


async def _refuse_used(name: str, machines: Machines, images: Path) -> None:
    file = shelf.find(images, name, "disk image")
    needed = use.needed_by(await machines.all(), images, [file])
    if who := needed.by(file):
        raise InUse(f"Disk image {name!r} is needed by {who}: nothing was changed", file=name, user=who)


async def _check_network(op: api.AttachNic, machines: Machines) -> None:
    there = await asyncio.to_thread(bridges) if op.kind == "bridge" else await machines.networks()
    if op.network_name not in there:
        raise NotThere(
            f"This host has no {'bridge' if op.kind == 'bridge' else 'active network'} {op.network_name!r}; it "
            f"has: {', '.join(sorted(there)) or 'none'}",
            network=op.network_name,
        )


def _free_address(wanted: str, taken: dict[str, str]) -> str:
    if wanted in taken:
        raise AlreadyThere(f"Machine {taken[wanted]!r} has the address {wanted} already", mac_address=wanted)
    while not wanted or wanted in taken:
        wanted = mac_address(secrets.token_bytes(3))
    return wanted


def _note(host: Host, machine: Machine) -> None:
    both = machine.live is not None and machine.kept is not None
    host.job.note("change", NOW_AND_LATER if both else NOW if machine.live is not None else LATER)
