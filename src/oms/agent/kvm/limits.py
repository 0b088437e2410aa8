"""What a machine may be given, and which settings are refused with which words. Pure.

What is legal, and why:

- CPUs: from 1 (a machine without any does not start) to the host's own number, or to the hypervisor's for one
  machine where that is less. A hypervisor offers more, and a machine with more CPUs than its host has only gets
  slower.
- memory: from 32 MB (below that no present-day system boots) to what the host can give now: what is free and what
  its kernel would give back, and for a running machine also what it holds already.
- What a machine has is always legal: somebody gave it that, and sending a form back unchanged must work.
"""

from collections.abc import Mapping

import msgspec

from oms.agent.given import KB_PER_MB, shown, whole_number
from oms.agent.guests import Capacity, Definition, Machine

MIN_VCPUS = 1
MIN_MEMORY_MB = 32
NAMES = ("memory", "vcpu")


class Limits(msgspec.Struct, frozen=True):
    """Both ends are legal. Memory in MB."""

    min_vcpus: int
    max_vcpus: int
    min_memory_mb: int
    max_memory_mb: int


class Wanted(msgspec.Struct, frozen=True):
    """Accepted settings; None where one was left out."""

    vcpus: int | None
    memory_mb: int | None


def of_host(capacity: Capacity) -> Limits:
    """For a new machine on a host."""
    return Limits(
        min_vcpus=MIN_VCPUS,
        max_vcpus=max(MIN_VCPUS, min(capacity.cpus, capacity.max_vcpus)),
        min_memory_mb=MIN_MEMORY_MB,
        max_memory_mb=max(MIN_MEMORY_MB, capacity.available_memory_kb // KB_PER_MB),
    )


def of_machine(machine: Machine, capacity: Capacity) -> Limits:
    """For a machine that is there."""
    host = of_host(capacity)
    now = settings_of(machine)
    held_kb = machine.live.memory_kb if machine.live else 0
    max_vcpus = max(host.max_vcpus, now.vcpus)
    max_memory_mb = max((capacity.available_memory_kb + held_kb) // KB_PER_MB, now.memory_kb // KB_PER_MB)
    return Limits(
        min_vcpus=MIN_VCPUS,
        max_vcpus=min(max_vcpus, now.max_vcpus) if now.vcpus_pinned else max_vcpus,
        min_memory_mb=min(MIN_MEMORY_MB, now.memory_kb // KB_PER_MB),
        max_memory_mb=min(max_memory_mb, now.max_memory_kb // KB_PER_MB) if now.memory_pinned else max_memory_mb,
    )


def settings_of(machine: Machine) -> Definition:
    """The definition whose settings are shown and changed: that of the next start, where there will be one."""
    definition = machine.kept or machine.live
    assert definition is not None
    return definition


def refused(settings: Mapping[str, str | int], limits: Limits) -> dict[str, str]:
    """Every refused setting with a text that says what is legal; {} where all are legal."""
    ranges = {
        "vcpu": ("CPU count", limits.min_vcpus, limits.max_vcpus, ""),
        "memory": ("Memory", limits.min_memory_mb, limits.max_memory_mb, " MB"),
    }
    texts = {}
    for name, value in settings.items():
        if name not in ranges:
            texts[name] = f"There is no such setting; there are {' and '.join(NAMES)}"
            continue
        noun, least, most, unit = ranges[name]
        number = whole_number(value)
        if number is None or not least <= number <= most:
            texts[name] = f"{noun} must be between {least} and {most}{unit}, got {shown(value)}"
    return texts


def wanted(settings: Mapping[str, str | int]) -> Wanted:
    """The numbers of settings of which none was refused."""
    return Wanted(
        vcpus=whole_number(settings["vcpu"]) if "vcpu" in settings else None,
        memory_mb=whole_number(settings["memory"]) if "memory" in settings else None,
    )
