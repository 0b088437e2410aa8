"""The network links of this host, and its own address on them."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

NET = Path("/sys/class/net")


def bridges(net: Path = NET) -> frozenset[str]:
    """The names of its bridges."""
    return frozenset(entry.parent.name for entry in net.glob("*/bridge"))


def own_address(server: str) -> str:
    """The address of this host from which the server at that URL is reached; "" where it is not. To connect a
    datagram socket asks the kernel for it, and sends nothing."""
    there = urlsplit(server)
    try:
        kind, _, _, _, place = socket.getaddrinfo(there.hostname, there.port or 443, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            address: str = probe.getsockname()[0]
            return address
    except OSError:
        return ""
