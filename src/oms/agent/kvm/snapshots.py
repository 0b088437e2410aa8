"""KVMService on this host: snapshots.

The hypervisor goes on with what it began when the agent dies, and when it dies itself it may leave half of it: a
machine that stands still or was ended, a snapshot in some images that it does not know of. So each run that was
broken off first waits, then looks, then finishes what is missing.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests import Machine, Machines, State
from oms.agent.guests.snapshots import Snapshot
from oms.agent.host import files, qemu_img, space
from oms.agent.host.files import OwnFile
from oms.agent.images import use
from oms.agent.images.handlers import lease
from oms.agent.kvm import snapshot_rules as rules
from oms.agent.kvm.conditions import machines_of, present
from oms.contract.errors import AlreadyThere, FuncManError, InUse, JobInterrupted, NotThere, Unusable
from oms.contract.handlers import Handlers
from oms.contract.kvm import snapshots as api

handlers: Handlers[Host] = Handlers()
BYTES_PER_KB = 1024


@handlers.handles(api.ListSnapshots)
async def list_snapshots(op: api.ListSnapshots, host: Host) -> list[api.SnapshotDescription]:
    """How much memory is in them, only the images know."""
    machines = machines_of(host)
    machine = await machines.find(op.kvm_vm_name)
    snapshots = await machines.snapshots(machine.uuid)
    memory = await _memory(machine) if snapshots else Counter()
    return [_described(snapshot, memory[snapshot.name]) for snapshot in snapshots]


@handlers.handles(api.CreateSnapshot)
async def create_snapshot(op: api.CreateSnapshot, host: Host) -> int:
    """A running machine stands still meanwhile, and stays so if the hypervisor dies; then that is ended first."""
    machines, job = machines_of(host), host.job
    machine = await machines.find(op.kvm_vm_name)
    begun = job.recall("begun")
    if begun is None:
        rules.check_can_have(machine)
        await _require_room(machine)
        await _refuse_taken(op, machine, machines)
        await job.record("begun", machine.state)
    else:
        await machines.settle(machine.uuid)
        machine = await machines.find(machine.uuid)
        if begun == "running" and machine.state == "paused":
            await machines.resume(machine.uuid)
        if any(snapshot.name == op.snapshot_name for snapshot in await machines.snapshots(machine.uuid)):
            return 0
        if machine.live is None:
            await _drop_remains(op.snapshot_name, machine)
            _check_was_off(begun, machine)
    await machines.create_snapshot(machine.uuid, op.snapshot_name, op.description)
    return 0


@handlers.handles(api.RevertSnapshot)
async def revert_snapshot(op: api.RevertSnapshot, host: Host) -> int:
    """Repeated after a crash, unless the machine runs, and is not in the run that it was in before."""
    machines, job = machines_of(host), host.job
    machine = await machines.find(op.kvm_vm_name)
    await machines.settle(machine.uuid)
    snapshot = rules.named(op.snapshot_name, machine, await machines.snapshots(machine.uuid))
    async with host.leases.hold(job, alone=_leases(snapshot, host)):
        if (run := job.recall("run")) is None:
            rules.check_can_go_back(machine, snapshot)
            await _check_disks(machine, snapshot, machines)
            await job.record("run", machine.run)
        elif machine.state == snapshot.state == "running" and machine.run != run:
            return 0
        for number, difference in enumerate(rules.differences(machine, snapshot), 1):
            job.note(f"difference {number}", difference)
        await machines.revert_snapshot(machine.uuid, snapshot.name)
    return 0


@handlers.handles(api.DeleteSnapshot)
async def delete_snapshot(op: api.DeleteSnapshot, host: Host) -> int:
    """What an earlier run has deleted is not missed."""
    machines, job = machines_of(host), host.job
    machine = await machines.find(op.kvm_vm_name)
    await machines.settle(machine.uuid)
    try:
        snapshot = rules.named(op.snapshot_name, machine, await machines.snapshots(machine.uuid))
    except NotThere:
        if job.recall("goes"):
            return 0
        raise
    rules.check_ours(machine, snapshot)
    await job.record("goes", True)
    await machines.delete_snapshot(machine.uuid, snapshot.name)
    return 0


def _described(snapshot: Snapshot, memory_bytes: int) -> api.SnapshotDescription:
    return api.SnapshotDescription(
        name=snapshot.name,
        description=snapshot.description,
        created=datetime.fromtimestamp(snapshot.created, UTC).isoformat().replace("+00:00", "Z"),
        state=snapshot.state,
        memory_kb=memory_bytes // BYTES_PER_KB,
        parent=snapshot.parent,
        current=snapshot.current,
        revertible=snapshot.internal and snapshot.state != "disks",
    )


async def _memory(machine: Machine) -> Counter[str]:
    """Bytes of memory in each snapshot, as far as the images can be looked at."""
    sizes: Counter[str] = Counter()
    for drive in rules.written(present(machine)):
        if drive.file is not None and drive.format == "qcow2":
            try:
                found = await qemu_img.info(drive.file, "qcow2")
            except FuncManError:
                continue
            sizes.update({snapshot.name: snapshot.vm_state_size for snapshot in found.snapshots})
    return sizes


async def _require_room(machine: Machine) -> None:
    """The memory of a machine that is on goes into its first disk."""
    first = rules.written(present(machine))[0].file
    if machine.live is not None and first is not None:
        with placing.told(first.parent):
            what = f"A snapshot with the memory of machine {machine.name!r}"
            space.require(first.parent, machine.live.memory_kb * BYTES_PER_KB, what)


async def _refuse_taken(op: api.CreateSnapshot, machine: Machine, machines: Machines) -> None:
    if any(snapshot.name == op.snapshot_name for snapshot in await machines.snapshots(machine.uuid)):
        raise AlreadyThere(
            f"Machine {machine.name!r} has a snapshot {op.snapshot_name!r} already", snapshot=op.snapshot_name
        )
    for path in _images(machine):
        if op.snapshot_name in await _in_image(path):
            raise AlreadyThere(
                f"Disk image {path} holds a snapshot {op.snapshot_name!r} that was made elsewhere: take another",
                snapshot=op.snapshot_name,
            )


def _check_was_off(begun: State, machine: Machine) -> None:
    if begun != "shutdown":
        raise JobInterrupted(
            f"While machine {machine.name!r} was being kept, the hypervisor broke off and it went off, as by a "
            "power cut: there is no snapshot of what it was doing. Start it with start_vm.",
            machine=machine.name,
        )


async def _drop_remains(name: str, machine: Machine) -> None:
    """Half a snapshot of a machine that is off, which its hypervisor does not know of."""
    for path in _images(machine):
        if name in await _in_image(path):
            await qemu_img.drop_snapshot(path, name)


async def _check_disks(machine: Machine, snapshot: Snapshot, machines: Machines) -> None:
    """Each image must be there, hold its part, and be nobody else's; else only a part of the machine would go
    back, or somebody else's disk too. Raises Unusable, InUse."""
    others = [other for other in await machines.all() if other.uuid != machine.uuid]
    needed = await asyncio.to_thread(use.by_machines, others)
    for drive in snapshot.definition.disks:
        if drive.target not in snapshot.disks or drive.file is None:
            continue
        identity = files.identity(drive.file)
        if identity is None or snapshot.name not in await _in_image(drive.file):
            raise Unusable(
                f"Snapshot {snapshot.name!r} is not whole: drive {drive.target} was in {drive.file}, and "
                f"{'that is not there any more' if identity is None else 'its part is not there any more'}. "
                "Nothing was changed.",
                snapshot=snapshot.name,
                drive=drive.target,
            )
        if who := needed.by(OwnFile(str(drive.file), *identity)):
            raise InUse(
                f"Snapshot {snapshot.name!r} has drive {drive.target} in {drive.file}, which {who} has now: "
                "nothing was changed",
                snapshot=snapshot.name,
                user=who,
            )


def _leases(snapshot: Snapshot, host: Host) -> list[str]:
    """Of those of its images that are ours: one that the machine does not have now could be anybody's."""
    return [
        lease(disk.file.name)
        for disk in snapshot.definition.disks
        if disk.file is not None and disk.file.parent == host.storage.images
    ]


def _images(machine: Machine) -> list[Path]:
    return [drive.file for drive in rules.written(present(machine)) if drive.file is not None]


async def _in_image(path: Path) -> set[str]:
    return {snapshot.name for snapshot in (await qemu_img.info(path, "qcow2")).snapshots}
