"""Accepted settings, put into force: for the next start always, and at once where the hypervisor can.

Each note says which it was, and why where it had to wait. A change of memory that the hypervisor took is none yet:
the guest's balloon driver gives memory back, and a guest that has not booted has none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from oms.agent.given import KB_PER_MB
from oms.agent.guests import Capabilities, Definition, Machine, Machines
from oms.agent.kvm.limits import Wanted
from oms.contract.errors import FuncManError, GuestDidNotReact, HypervisorUnavailable, NoSuchMachine

NOW = "changed now"
AT_NEXT = "changed at the next start"
AT_START = f"{AT_NEXT}, because {{}}"
NOT_KNOWN = f"{AT_NEXT}; whether before that is not known: {{}}"
LAGS = "its guest was asked to follow now, and has {} MB still"
SAVED = "the machine is saved, and to go on from there is none"
NEVER = "This machine is gone when it stops, so only what can be changed at once is legal, and this cannot: {}"
FOLLOW_SECONDS, LOOK_SECONDS = 1.0, 0.05
"""How long a guest has to follow with its memory before that is told, and how often it is looked at."""
Note = Callable[[str, str], None]


async def apply(wanted: Wanted, machine: Machine, machines: Machines, note: Note) -> None:
    """Put settings into force; may be repeated. Raises FuncManError, with nothing changed, where the definition is
    refused. After that a running machine that cannot follow is a note, and an error only where it has no next
    start."""
    memory_kb = _kb(wanted)
    if machine.kept is not None and (wanted.vcpus is not None or memory_kb is not None):
        await machines.redefine(machine.uuid, vcpus=wanted.vcpus, memory_kb=memory_kb)
    waits = waiting(wanted, machine, machines.capabilities)
    said = {name: AT_START.format(why) for name, why in waits.items()}
    if memory_kb is not None:
        if machine.live and "memory" not in said:
            said["memory"] = await _try(machines.set_live_memory(machine.uuid, memory_kb), machine)
            said["memory"] = said["memory"] or await _lags(memory_kb, machine, machines)
        note("memory", said.get("memory") or NOW)
    if wanted.vcpus is not None:
        if machine.live and "vcpu" not in said and wanted.vcpus != machine.live.vcpus:
            said["vcpu"] = await _try(machines.set_live_vcpus(machine.uuid, wanted.vcpus), machine)
        note("vcpu", said.get("vcpu") or NOW)


def impossible(wanted: Wanted, machine: Machine, capabilities: Capabilities) -> dict[str, str]:
    """Refusals for a machine that has no next start: all that would have to wait for one."""
    if machine.kept is not None:
        return {}
    return {name: NEVER.format(why) for name, why in waiting(wanted, machine, capabilities).items()}


def waiting(wanted: Wanted, machine: Machine, capabilities: Capabilities) -> dict[str, str]:
    """The settings that a running or saved machine cannot take, and why not."""
    live, memory_kb = machine.live, _kb(wanted)
    whys = {}
    if machine.saved:
        given = {"memory": memory_kb, "vcpu": wanted.vcpus}
        return {name: SAVED for name, value in given.items() if value is not None}
    if live and memory_kb is not None and (why := _why_memory(memory_kb, live, capabilities)):
        whys["memory"] = why
    if live and wanted.vcpus is not None and (why := _why_vcpus(wanted.vcpus, live, capabilities)):
        whys["vcpu"] = why
    return whys


def _why_memory(memory_kb: int, live: Definition, capabilities: Capabilities) -> str:
    if not capabilities.live_memory:
        return "this hypervisor changes no memory of a running machine"
    if not live.balloon:
        return "it has no memory balloon"
    if memory_kb > live.max_memory_kb:
        return f"it was started with at most {live.max_memory_kb // KB_PER_MB} MB"
    return ""


def _why_vcpus(vcpus: int, live: Definition, capabilities: Capabilities) -> str:
    if vcpus > live.max_vcpus:
        return f"it was started with at most {live.max_vcpus} CPUs"
    if vcpus > live.vcpus and not capabilities.live_vcpus_up:
        return "this hypervisor adds no CPUs to a running machine"
    if vcpus < live.vcpus and not capabilities.live_vcpus_down:
        return "CPUs cannot be taken from a running machine"
    return ""


def _kb(wanted: Wanted) -> int | None:
    return None if wanted.memory_mb is None else wanted.memory_mb * KB_PER_MB


async def _try(change: Awaitable[None], machine: Machine) -> str:
    """The note where the running machine did not follow; "" where it did. One that has no next start must."""
    try:
        await change
    except (HypervisorUnavailable, NoSuchMachine):
        raise
    except GuestDidNotReact as error:
        if machine.kept is None:
            raise GuestDidNotReact(
                f"Whether machine {machine.name!r} follows is not known, because {error.message}; "
                "list_vms_status shows what it has",
                machine=machine.name,
            ) from error
        return NOT_KNOWN.format(error.message)
    except FuncManError as error:
        if machine.kept is None:
            raise
        return AT_START.format(f"now the hypervisor refused it ({error.message})")
    return ""


async def _lags(memory_kb: int, machine: Machine, machines: Machines) -> str:
    """The note where the guest does not have that memory within a moment; "" where it does."""
    until = time.monotonic() + FOLLOW_SECONDS
    while (live := (await machines.find(machine.uuid)).live) and live.memory_kb != memory_kb:
        if time.monotonic() >= until:
            said = LAGS.format(live.memory_kb // KB_PER_MB)
            return said if machine.kept is None else f"{AT_NEXT}; {said}"
        await asyncio.sleep(LOOK_SECONDS)
    return ""
