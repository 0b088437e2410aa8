"""A machine from an installation medium: what is asked is checked, planned, and done as `first_run` tells."""

import asyncio
import secrets
import uuid
from pathlib import Path

import msgspec

from oms.agent import placing, shelf
from oms.agent.context import Host
from oms.agent.guests import Machines
from oms.agent.host import block, files, osinfo_db, space
from oms.agent.images import use
from oms.agent.kvm import first_run, installation, network, osinfo
from oms.agent.kvm.conditions import machines_of
from oms.agent.kvm.domain_xml import mac_address
from oms.agent.kvm.fitting import fitting
from oms.agent.kvm.installation import Disk, Plan
from oms.agent.lvm import handlers as lvm
from oms.contract.errors import (
    AlreadyThere,
    HypervisorUnavailable,
    InUse,
    NoSuchMachine,
    OmsError,
    ParameterMismatch,
)
from oms.contract.handlers import Handlers
from oms.contract.kvm import install as api

handlers: Handlers[Host] = Handlers()
PLAN = "plan"


@handlers.handles(api.CreateVmFromIso)
async def create_vm_from_iso(op: api.CreateVmFromIso, host: Host) -> int:
    """Answered when the machine runs from the CD; the job lasts until the installer has done."""
    machines, job = machines_of(host), host.job
    if not first_run.has_begun(job):
        await _begin(op, host, machines)
    await job.answer(0)
    await first_run.see_through(msgspec.convert(job.recall(PLAN), Plan), host, machines)
    return 0


async def _begin(op: api.CreateVmFromIso, host: Host, machines: Machines) -> None:
    """From nothing to a machine that runs from the CD, or back to nothing."""
    device = op.block_device_based_disk_path
    disk = _device_lease(device) if device else f"image/{_image_name(op, host)}"
    async with host.leases.hold(host.job, alone=(disk,), shared=(f"iso/{op.cdrom_iso}",)):
        plan = await _plan(op, host, machines)
        try:
            await first_run.begin(plan, host, machines)
        except HypervisorUnavailable:
            raise  # nobody knows how far it came: the job goes on when it is back
        except OmsError:
            await first_run.undo(plan, host, machines)
            raise


async def _plan(op: api.CreateVmFromIso, host: Host, machines: Machines) -> Plan:
    """The plan of the job's first run. Where the machine is not there yet, others may have taken the device since
    that run."""
    if (known := host.job.recall(PLAN)) is None:
        plan = await _planned(op, host, machines)
        await host.job.record(PLAN, msgspec.to_builtins(plan))
        return plan
    plan = msgspec.convert(known, Plan)
    if plan.disk.kind == "block" and not await _is_there(plan.machine.uuid, machines):
        await _check_device(plan.disk.path, host, machines)
    return plan


async def _planned(op: api.CreateVmFromIso, host: Host, machines: Machines) -> Plan:
    """All that can be refused is refused here, before anything is made."""
    await _check_name(op.kvm_vm_name, machines)
    installation.check_memory(op, await machines.capacity())
    shelf.find(host.storage.iso, op.cdrom_iso, "ISO image")
    system = await asyncio.to_thread(_system, op.os_variant) if op.os_variant else None
    disk = await _device(op, host, machines) if op.block_device_based_disk_path else _image(op, host)
    found = await network.usual(host, machines)
    domain_type = machines.capabilities.domain_type
    plan = installation.plan(
        op,
        fitting(system, op.os_type, domain_type, noapic=bool(op.noapic_on_off), noacpi=bool(op.noacpi_on_off)),
        disk,
        str(shelf.path_of(host.storage.iso, op.cdrom_iso)),
        found,
        uuid=str(uuid.uuid4()),
        mac=mac_address(secrets.token_bytes(3)),
        domain_type=domain_type,
    )
    for name, text in installation.advice(system, plan.machine.memory_mb).items():
        host.job.note(name, text)
    host.job.note("disk", disk.path)
    host.job.note("network", f"{found.kind} {found.name}" if found else network.NO_NETWORK)
    return plan


async def _check_name(name: str, machines: Machines) -> None:
    """A name that reads as a UUID would stand in the way of the machine that has it."""
    if _is_uuid(name):
        raise ParameterMismatch(
            f"Parameter kvm_vm_name is {name!r}, which is a UUID: choose a name.", parameter="kvm_vm_name"
        )
    if await _is_there(name, machines):
        raise AlreadyThere(f"There is a machine {name!r} on this host already: choose another name", machine=name)


def _is_uuid(name: str) -> bool:
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True


async def _is_there(name: str, machines: Machines) -> bool:
    try:
        await machines.find(name)
    except NoSuchMachine:
        return False
    return True


def _system(variant: str) -> osinfo.OperatingSystem | None:
    return osinfo.read(osinfo_db.texts()).find(variant)


def _image_name(op: api.CreateVmFromIso, host: Host) -> str:
    return f"{op.kvm_vm_name}.{host.offer.disk_format}"


def _image(op: api.CreateVmFromIso, host: Host) -> Disk:
    images, name, size_bytes = host.storage.images, _image_name(op, host), installation.disk_size_bytes(op)
    placing.refuse_taken(host.job, images / name)
    with placing.told(images):
        space.require(images, size_bytes, f"The disk of machine {op.kvm_vm_name!r}")
    return Disk(str(images / name), "file", host.offer.disk_format, size_bytes)


async def _device(op: api.CreateVmFromIso, host: Host, machines: Machines) -> Disk:
    await _check_device(op.block_device_based_disk_path, host, machines)
    return Disk(op.block_device_based_disk_path, "block", "raw")


async def _check_device(path: str, host: Host, machines: Machines) -> None:
    """Only what the administrator gave to OMS, and nobody uses. Raises NotThere, InUse, NotSupported,
    FuncManError."""
    if path not in host.offer.block_devices:
        await lvm.writable(path, host)
        return
    await asyncio.to_thread(block.check_unused, Path(path))
    number = files.device(Path(path))
    for machine in await machines.all():
        if number in map(files.device, use.sources(machine)):
            raise InUse(f"{path} is the disk of machine {machine.name!r}", machines=[machine.name])


def _device_lease(path: str) -> str:
    """A volume under the name by which LVMService holds it."""
    _dev, *names = path.strip("/").split("/")
    return lvm.lease(names[0], names[1]) if len(names) == 2 else f"device/{path}"
