"""How much memory this host could still give away."""

from pathlib import Path

MEMINFO = Path("/proc/meminfo")


def available_memory_kb(meminfo: str | None = None) -> int:
    """KB that can be had without swapping: what is free and what the kernel would give back, by its own
    estimate."""
    return _figures(meminfo)["MemAvailable"]


def total_memory_kb(meminfo: str | None = None) -> int:
    """KB that there are."""
    return _figures(meminfo)["MemTotal"]


def _figures(meminfo: str | None) -> dict[str, int]:
    text = MEMINFO.read_text() if meminfo is None else meminfo
    lines = (line.partition(":") for line in text.splitlines())
    return {name: int(words.split()[0]) for name, _, words in lines}
