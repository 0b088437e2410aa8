"""When a host is so much more or less busy than was told that it is worth telling."""

from oms.contract.event.fleet import HostLoad
from oms.contract.internal import Figures

NOTABLE_PERCENT = 5.0
"""Of the CPUs, of the memory, of the swap."""


def load(figures: Figures, busy: float) -> HostLoad:
    """How busy a host is. `busy`: its CPUs, in percent."""
    return HostLoad(
        cpu_percent=round(busy, 1),
        load=round(figures.load, 2),
        memory_kb=figures.memory_kb,
        memory_available_kb=figures.memory_available_kb,
        swap_kb=figures.swap_kb,
        swap_free_kb=figures.swap_free_kb,
    )


def notable(told: HostLoad | None, now: HostLoad) -> bool:
    """Whether it is told."""
    if told is None or (told.memory_kb, told.swap_kb) != (now.memory_kb, now.swap_kb):
        return True
    return (
        abs(told.cpu_percent - now.cpu_percent) >= NOTABLE_PERCENT
        or abs(told.load - now.load) >= max(1.0, told.load / 4)
        or _parts(told.memory_available_kb, now.memory_available_kb, now.memory_kb) >= NOTABLE_PERCENT
        or _parts(told.swap_free_kb, now.swap_free_kb, now.swap_kb) >= NOTABLE_PERCENT
    )


def _parts(before: int, now: int, whole: int) -> float:
    return 100 * abs(before - now) / whole if whole else 0
