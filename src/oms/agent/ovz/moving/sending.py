"""Containers of OpenVZ's own kernel: a program of OpenVZ's takes them over, and undoes what it could not finish.

Between its first step there and its last one here nobody else can tell what is where. So it is not cancelled, it
goes on when the agent ends, and what it did is looked at afterwards. A container that it left off on this host is
not started by OMS: it may run over there.
"""

import asyncio

from oms.agent.context import Host
from oms.agent.guests.containers import Sender
from oms.agent.ovz.moving import rules
from oms.contract.errors import FuncManError, HypervisorUnavailable, JobInterrupted, NoSuchContainer
from oms.contract.ovz import migration as api

LOOK_SECONDS = 1.0


async def sent(op: api.MigrateVm, host: Host, containers: Sender) -> int:
    """Raises OpenVZMigrationNotCapable where it stays; JobInterrupted where that is not known, or where it has
    left and more than that was to be done."""
    ctid, target, job = str(op.container_id), op.server2_hostname, host.job
    if (ran := job.recall("ran")) is None:
        container = await containers.find(ctid)
        rules.check_can_leave(container, containers.capabilities, "")
        ran = container.runs
        await job.record("ran", ran)
    job.note("target", target)
    if job.resumed:
        return await _found_out(ctid, target, host, containers, ran=ran)
    try:
        await containers.send(ctid, target, lambda words: job.note("vzmigrate", words))
    except (HypervisorUnavailable, NoSuchContainer):
        raise
    except FuncManError as error:
        try:
            stays = await _is_as_it_was(ctid, containers, ran=ran)
        except NoSuchContainer:
            raise _gone(ctid, target, error.message) from error
        if stays:
            raise rules.refusal("target", error.message, str(error.details().get("reason", "refused"))) from error
        raise _look(ctid, target, error.message) from error
    return 0


async def _found_out(ctid: str, target: str, host: Host, containers: Sender, *, ran: bool) -> int:
    """What became of it after the agent that began it had ended."""
    while await containers.is_sending(ctid):
        host.job.note("waits", "for the vzmigrate that an earlier agent started")
        await asyncio.sleep(LOOK_SECONDS)
    try:
        stays = await _is_as_it_was(ctid, containers, ran=ran)
    except NoSuchContainer:
        return 0
    if stays and ran:
        raise JobInterrupted(
            f"The move of container {ctid} was broken off: it runs here, as before", container=ctid
        )
    raise _look(ctid, target, "the move was broken off")


async def _is_as_it_was(ctid: str, containers: Sender, *, ran: bool) -> bool:
    return (await containers.find(ctid)).runs == ran


def _look(ctid: str, target: str, why: str) -> JobInterrupted:
    return JobInterrupted(
        f"Container {ctid} is off here, and there may be one of that id on {target} now: {why}. Look at list_vms "
        f"of {target}. If it is there, delete_vm here; if not, start_vm here",
        container=ctid,
        target=target,
    )


def _gone(ctid: str, target: str, why: str) -> JobInterrupted:
    return JobInterrupted(
        f"Container {ctid} has left this host for {target}, and then something went wrong: {why}. Look at "
        f"list_vms of {target}: if it is off there, start_vm there. If it is not there, look for its files on "
        "both hosts, below VE_PRIVATE of /etc/vz/vz.conf",
        container=ctid,
        target=target,
    )
