"""Accepted settings, put into force: for the next start always, and at once where the hypervisor can.

Each note says which it was, and why where it had to wait.
"""

from collections.abc import Awaitable, Callable

from oms.agent.guests import Capabilities, Definition, Machine, Machines
from oms.agent.kvm.limits import KB_PER_MB, Wanted
from oms.contract.errors import FuncManError, HypervisorUnavailable, NoSuchMachine

NOW = "changed now"
AT_START = "changed at the next start, because {}"
SAVED = "the machine is saved, and to go on from there is none"
NEVER = "This machine is gone when it stops, so only what can be changed at once is legal, and this cannot: {}"
Note = Callable[[str, str], None]


async def apply(wanted: Wanted, machine: Machine, machines: Machines, note: Note) -> None:
    """Put settings into force; may be repeated. Raises FuncManError, with nothing changed, where the definition is
    refused; after that a running machine that cannot follow is a note, no error."""
    memory_kb = _kb(wanted)
    if machine.kept is not None and (wanted.vcpus is not None or memory_kb is not None):
        await machines.redefine(machine.uuid, vcpus=wanted.vcpus, memory_kb=memory_kb)
    waits = waiting(wanted, machine, machines.capabilities)
    if memory_kb is not None:
        why = waits.get("memory", "")
        if machine.live and not why:
            why = await _try(machines.set_live_memory(machine.uuid, memory_kb))
        note("memory", AT_START.format(why) if why else NOW)
    if wanted.vcpus is not None:
        why = waits.get("vcpu", "")
        if machine.live and not why and wanted.vcpus != machine.live.vcpus:
            why = await _try(machines.set_live_vcpus(machine.uuid, wanted.vcpus))
        note("vcpu", AT_START.format(why) if why else NOW)


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


async def _try(change: Awaitable[None]) -> str:
    """Why the running machine did not follow; "" where it did."""
    try:
        await change
    except (HypervisorUnavailable, NoSuchMachine):
        raise
    except FuncManError as error:
        return f"now the hypervisor refused it ({error.message})"
    return ""
