"""Measurements in the words of the contract: texts, KB, percentages with two decimals. Pure."""

from msgspec import UNSET

from oms.agent.guests import Use
from oms.agent.kvm.stats import MEASURED, machine_stats, measured
from oms.contract.ovz import ContainerStats

__all__ = ["MEASURED", "NOTHING", "container_stats", "measured"]
NOTHING = ContainerStats()


def container_stats(use: Use | None) -> ContainerStats:
    """What is known; the rest is left out."""
    if use is None:
        return NOTHING
    same = machine_stats(use)
    network = same.network if use.network and use.network.name else UNSET
    return ContainerStats(memory=same.memory, cpu=same.cpu, network=network, df=same.df)
