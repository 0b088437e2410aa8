"""Who has been heard of on this host's networks lately."""

from pathlib import Path

ARP = Path("/proc/net/arp")
COMPLETE = 0x2


def addresses(table: str | None = None) -> dict[str, str]:
    """IPv4 address by MAC address (lower case), as far as the kernel's table of neighbours knows them."""
    text = ARP.read_text() if table is None else table
    found: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        address, _kind, flags, mac, *_ = line.split()
        if int(flags, 16) & COMPLETE:
            found[mac.lower()] = address
    return found
