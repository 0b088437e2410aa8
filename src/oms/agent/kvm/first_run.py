"""The first run of a new machine, from the CD, as a job that lasts until the installer has done.

Each step may be broken off and done again. The disk is made. libvirt is given the definition that the machine will
keep. The machine is started by the other one, from the CD, and that is written down. From then on the job stands
aside. When the machine has ended this run, what follows is written down, and it is started from its disk.

Until then the job can be cancelled, and what it made is taken away: the machine, and the image of this very job.
So is it where a step of the beginning fails.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from oms.agent import placing
from oms.agent.context import Host, Job
from oms.agent.guests import Change, Machine, Machines
from oms.agent.host import files, qemu_img
from oms.agent.host.boot import boot_id
from oms.agent.images import catalogue
from oms.agent.kvm import installation, removal
from oms.agent.kvm.installation import Next, Plan
from oms.contract.errors import FuncManError, HypervisorUnavailable, JobCancelled, NoSuchMachine

LOOK_SECONDS: Final = 30.0
"""Events tell when a machine ends; this is for one that was lost."""
RUNS, ENDED = "runs", "ended"
"""What a job writes down: the host's boot in which the machine was started from the CD, and what follows that
run."""
STATE: Final = "installation"


def has_begun(job: Job) -> bool:
    """Whether the machine was started from the CD."""
    return job.recall(RUNS) is not None


async def begin(plan: Plan, host: Host, machines: Machines) -> None:
    """Make the machine and start it from the CD. Raises JobCancelled, FuncManError: then `undo`."""
    async with host.job.cancellable():
        if plan.disk.kind == "file":
            await _make_image(plan, host)
    await machines.define(installation.kept_xml(plan))
    await _start(plan, host, machines)
    host.job.progress(10)


async def _make_image(plan: Plan, host: Host) -> None:
    path = Path(plan.disk.path)
    if not placing.is_placed(host.job, path):
        async with placing.building(path.parent, host.job) as staging:
            await qemu_img.create(staging / path.name, plan.disk.format, plan.disk.size_bytes)
            await catalogue.take_in(host.job, staging / path.name, path, plan.disk.format)


async def _start(plan: Plan, host: Host, machines: Machines) -> None:
    await machines.start_once(plan.machine.uuid, installation.first_run_xml(plan))
    await host.job.record(RUNS, boot_id())


async def see_through(plan: Plan, host: Host, machines: Machines) -> None:
    """Wait for the end of the first run, and do what follows. Raises JobCancelled, with all undone, and
    FuncManError."""
    step: Next | None = host.job.recall(ENDED)
    try:
        while step in {None, "again"}:
            step = await _next(plan, host, machines)
    except JobCancelled:
        if await undo(plan, host, machines):
            raise
        step = "runs"
    host.job.progress(95)
    if step == "start":
        await _start_from_disk(plan, machines)
    elif step in {"stopped", "crashed"}:
        raise _failure(plan, step)
    host.job.note(STATE, DONE[step])


async def _next(plan: Plan, host: Host, machines: Machines) -> Next:
    """What follows the first run, when it has ended; that is written down."""
    job = host.job
    job.note(STATE, "waits until the installer restarts the machine or turns it off")
    async with job.aside(), job.cancellable():
        machine = await _after_first_run(plan, machines)
    step = installation.next_step(machine, same_boot=job.recall(RUNS) == boot_id())
    if step == "again":
        job.note("host", "was restarted during the installation, which then began anew")
        await _start(plan, host, machines)
    else:
        await job.record(ENDED, step)
    return step


async def _after_first_run(plan: Plan, machines: Machines) -> Machine:
    """The machine when it is not in its first run any more: off, or started by somebody. Raises FuncManError where
    it is gone."""
    changed = asyncio.Event()

    def hear(change: Change) -> None:
        if change.uuid in {plan.machine.uuid, ""}:
            changed.set()

    stop_listening = machines.on_change(hear)
    try:
        while True:
            changed.clear()
            machine = await _find(plan, machines)
            if not installation.is_in_first_run(machine):
                return machine
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await changed.wait()
    finally:
        stop_listening()


async def _find(plan: Plan, machines: Machines) -> Machine:
    try:
        return await machines.find(plan.machine.uuid)
    except NoSuchMachine:
        raise NoSuchMachine(
            f"Machine {plan.machine.name!r} was removed by somebody while it was being installed",
            machine=plan.machine.name,
        ) from None


async def _start_from_disk(plan: Plan, machines: Machines) -> None:
    machine = await _find(plan, machines)
    if machine.live is not None:
        return
    try:
        await machines.start(machine.uuid)
    except HypervisorUnavailable:
        raise
    except FuncManError as error:
        raise FuncManError(
            f"Machine {machine.name!r} was installed, but could not be started from its disk ({error.message}); "
            "start_vm tries it again",
            machine=machine.name,
        ) from error


async def undo(plan: Plan, host: Host, machines: Machines) -> bool:
    """Take away the machine and the image that the job has made, as far as it has come. False, and nothing is
    done, where the machine runs from its disk by now: somebody has started it, so it is done."""
    uuid = plan.machine.uuid
    with contextlib.suppress(NoSuchMachine):
        machine = await machines.find(uuid)
        if machine.live is not None and not installation.is_in_first_run(machine):
            return False
        await machines.stop(uuid)
        await machines.undefine(uuid)
    if plan.disk.kind == "file":
        await _delete_image(plan, host, machines)
    return True


async def _delete_image(plan: Plan, host: Host, machines: Machines) -> None:
    """Not where somebody has given it to another machine meanwhile."""
    path, images, job = Path(plan.disk.path), host.storage.images, host.job
    with placing.told(images):
        file = files.own_file(path, images)
        if placing.is_placed(job, path) and isinstance(file, files.OwnFile):
            doomed = removal.Plan(plan.machine.uuid, plan.machine.name, [file], {})
            others = [other for other in await machines.all() if other.uuid != plan.machine.uuid]
            kept = await asyncio.to_thread(removal.set_aside, doomed, others, images, job.id)
            for name, why in kept.items():
                job.note(f"disk {name}", f"kept, because {why}")
        await asyncio.to_thread(catalogue.forget_missing, images)
    await placing.remove(images, job)


DONE: Final = {
    "start": "the installer restarted the machine, which was then started from its disk",
    "off": "the installer turned the machine off; start_vm starts it from its disk",
    "runs": "somebody has started the machine from its disk",
}


def _failure(plan: Plan, step: Next) -> FuncManError:
    how = "was stopped by somebody" if step == "stopped" else "crashed, or its process was killed,"
    return FuncManError(
        f"Machine {plan.machine.name!r} {how} before its installer had done. It is kept as it is, off: start_vm "
        "starts it from its disk, delete_vm removes it with that",
        machine=plan.machine.name,
    )
