"""How much memory this host could still give away."""

from pathlib import Path

MEMINFO = Path("/proc/meminfo")


def available_memory_kb(meminfo: str | None = None) -> int:
    """KB that can be had without swapping: what is free and what the kernel would give back, by its own
    estimate."""
    text = MEMINFO.read_text() if meminfo is None else meminfo
    found = {name: int(words.split()[0]) for name, _, words in (line.partition(":") for line in text.splitlines())}
    return found["MemAvailable"]
