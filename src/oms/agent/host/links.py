"""The network links of this host."""

from pathlib import Path

NET = Path("/sys/class/net")


def bridges(net: Path = NET) -> frozenset[str]:
    """The names of its bridges."""
    return frozenset(entry.parent.name for entry in net.glob("*/bridge"))
