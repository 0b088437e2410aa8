"""LVMService on this host.

A new volume bears the job's id as a tag from the moment it is there, so that a run after a crash knows its own.
"""

from pathlib import Path

from oms.agent.context import Host
from oms.agent.host import files
from oms.agent.host.lvm import TAG, Volume
from oms.agent.lvm import rules
from oms.contract import lvm
from oms.contract.errors import NotThere
from oms.contract.handlers import Handlers
from oms.contract.lvm import Display

handlers: Handlers[Host] = Handlers()


@handlers.handles(lvm.ListVg)
async def list_vg(_op: lvm.ListVg, host: Host) -> Display:
    """A host without LVM has none."""
    return rules.display(await host.lvm.display("vgdisplay"))


@handlers.handles(lvm.ListLv)
async def list_lv(_op: lvm.ListLv, host: Host) -> Display:
    """A host without LVM has none."""
    return rules.display(await host.lvm.display("lvdisplay"))


@handlers.handles(lvm.CreateLv)
async def create_lv(op: lvm.CreateLv, host: Host) -> int:
    """One step of LVM's own; the volume is there with its tags, or it is not."""
    group, name, mark = op.volume_group_name, op.logical_volume_name, f"{TAG}.{host.job.id}"
    async with host.leases.hold(host.job, alone=(lease(group, name),)):
        volumes = await host.lvm.volumes()
        if any(mark in volume.tags for volume in volumes):
            return 0
        found = rules.group_for(await host.lvm.groups(), volumes, group, name, op.size_mb)
        size_bytes = rules.size_bytes(found, op.size_mb)
        await host.lvm.create(group, name, size_bytes, (TAG, mark))
    host.job.note("size", f"{size_bytes // rules.MIB} MB")
    return 0


@handlers.handles(lvm.DeleteLv)
async def delete_lv(op: lvm.DeleteLv, host: Host) -> int:
    """The volume is written down by its UUID first: whichever has its name after a crash is another one."""
    group, name = op.volume_group_name, op.logical_volume_name
    async with host.leases.hold(host.job, alone=(lease(group, name),)):
        try:
            volume = rules.find(await host.lvm.volumes(), group, name)
        except NotThere:
            if host.job.recall("goes"):
                return 0
            raise
        if host.job.recall("goes") not in (None, volume.uuid):
            return 0
        rules.check_free(volume, await users(volume, host))
        await host.job.record("goes", volume.uuid)
        await host.lvm.remove(volume)
    return 0


async def writable(path: str, host: Host) -> Volume:
    """The volume behind `/dev/GROUP/NAME`, free to be overwritten, its device there; hold its lease first.

    Raises NotThere, InUse, NotSupported, FuncManError.
    """
    volumes = await host.lvm.volumes()
    volume = next((volume for volume in volumes if volume.path == path), None)
    if volume is None:
        raise NotThere(f"{path} is no logical volume of this host: list_lv shows those there are.", name=path)
    rules.check_free(volume, await users(volume, host))
    await host.lvm.activate(volume)
    return volume


def lease(group: str, name: str) -> str:
    """The name under which a volume is held."""
    return f"volume/{group}/{name}"


async def users(volume: Volume, host: Host) -> set[str]:
    """The machines that name the volume's device, by whichever of its paths."""
    if host.machines is None:
        return set()
    path = Path(volume.path)
    device = files.device(path)
    return {
        machine.name
        for machine in await host.machines.all()
        for definition in (machine.kept, machine.live)
        for disk in (definition.disks if definition else ())
        for source in disk.sources
        if source == path or (device is not None and files.device(source) == device)
    }
