"""Measurements in the words of the contract: texts, KB, percentages with two decimals. Pure."""

from collections.abc import Collection
from typing import get_args

from msgspec import UNSET

from oms.agent.guests import Stat, Use
from oms.contract.kvm import CpuStats, DiskStats, MachineStats, MemoryStats, NetworkStats

NOTHING = MachineStats()
MEASURED: frozenset[Stat] = frozenset(get_args(Stat))


def measured(wanted: Collection[str]) -> frozenset[Stat]:
    """Those of the wanted statistics that can be measured of a machine from outside."""
    return frozenset(stat for stat in MEASURED if stat in wanted)


def machine_stats(use: Use) -> MachineStats:
    """What is known; the rest is left out."""
    return MachineStats(
        cpu=CpuStats(f"{use.cpu_percent:.2f}") if use.cpu_percent is not None else UNSET,
        memory=MemoryStats(*_share(use.memory.used_kb, use.memory.total_kb)) if use.memory else UNSET,
        df=DiskStats(*_share(use.disk.used_kb, use.disk.size_kb)) if use.disk else UNSET,
        network=NetworkStats(ip=use.network.address, name=use.network.name) if use.network else UNSET,
    )


def _share(used_kb: int, total_kb: int) -> tuple[str, str, str]:
    """Percentage, total, used: the order of the contract's fields."""
    percentage = 100 * used_kb / total_kb if total_kb else 0.0
    return f"{percentage:.2f}", str(total_kb), str(used_kb)
