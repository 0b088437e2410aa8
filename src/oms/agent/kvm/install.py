"""A machine from an installation medium: what is asked is checked, planned, and done as `first_run` tells."""

import asyncio
import secrets
import uuid

import msgspec

from oms.agent import placing, shelf
from oms.agent.context import Host
from oms.agent.guests import Machines
from oms.agent.host import osinfo_db, space
from oms.agent.kvm import block_devices, first_run, installation, network, osinfo
from oms.agent.kvm.conditions import check_name, machines_of
from oms.agent.kvm.domain_xml import mac_address
from oms.agent.kvm.fitting import fitting
from oms.agent.kvm.installation import Disk, Plan
from oms.contract.errors import (
    HypervisorUnavailable,
    NoSuchMachine,
    OmsError,
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
    disk = block_devices.lease(device) if device else f"image/{_image_name(op, host)}"
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
        await block_devices.check(plan.disk.path, host)
    return plan


async def _planned(op: api.CreateVmFromIso, host: Host, machines: Machines) -> Plan:
    """All that can be refused is refused here, before anything is made."""
    await check_name(op.kvm_vm_name, machines, "kvm_vm_name")
    installation.check_memory(op, await machines.capacity())
    shelf.find(host.storage.iso, op.cdrom_iso, "ISO image")
    system = await asyncio.to_thread(_system, op.os_variant) if op.os_variant else None
    disk = await _device(op, host) if op.block_device_based_disk_path else _image(op, host)
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


async def _device(op: api.CreateVmFromIso, host: Host) -> Disk:
    await block_devices.check(op.block_device_based_disk_path, host)
    return Disk(op.block_device_based_disk_path, "block", "raw")
