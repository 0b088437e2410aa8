"""The network device by which this host reaches the world: that of its default route, whatever it is."""

import socket
import struct
from pathlib import Path

import msgspec
import psutil

from oms.agent.host.links import NET

ROUTES, ROUTES_6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")
UP = 0x1
REJECTED = 0x200
BYTES_PER_MBIT = 125_000


class Uplink(msgspec.Struct, frozen=True):
    """A device, its address, and how many bytes a second it can carry; empty and 0 where that is not known."""

    name: str = ""
    address: str = ""
    bytes_per_second: int = 0


def uplink() -> Uplink:
    """As it is now. Raises OSError."""
    name = default_device(_text(ROUTES), _text(ROUTES_6)) or _some_device(NET)
    if not name:
        return Uplink()
    return Uplink(name, _address(name), speed(name))


def default_device(routes: str, routes_6: str = "") -> str:
    """The device of the default route with the lowest metric, as the kernel's tables have it; IPv4's goes first,
    and empty is none."""
    found: list[tuple[int, str]] = []
    for line in routes.splitlines()[1:]:
        device, destination, _gateway, flags, _count, _use, metric, mask, *_ = line.split()
        if destination == mask == "00000000" and int(flags, 16) & UP:
            found.append((int(metric), device))
    if not found:
        for line in routes_6.splitlines():
            destination, length, _from, _length, _gateway, metric, _count, _use, flags, device = line.split()
            if length == "00" and not int(destination, 16) and _usable(int(flags, 16), device):
                found.append((_number(metric), device))
    return min(found)[1] if found else ""


def _usable(flags: int, device: str) -> bool:
    return bool(flags & UP) and not flags & REJECTED and device != "lo"


def _number(metric: str) -> int:
    value: int = struct.unpack(">I", bytes.fromhex(metric))[0]
    return value


def speed(device: str, net: Path = NET) -> int:
    """Bytes a second that a device can carry, a bridge as much as the fastest in it; 0 where none says."""
    own = _mbit(net / device)
    inside = (_mbit(net / port.name) for port in (net / device).glob("brif/*"))
    return (own or max(inside, default=0)) * BYTES_PER_MBIT


def _mbit(device: Path) -> int:
    """Some say -1, or that they have none, by an error."""
    try:
        return max(0, int((device / "speed").read_text()))
    except (OSError, ValueError):
        return 0


def _some_device(net: Path) -> str:
    """Without a default route: the first bridge that is up, else the first real device that is."""
    up = [path for path in sorted(net.iterdir()) if _text(path / "operstate").strip() in ("up", "unknown")]
    for kind in ("bridge", "device"):
        if found := [path.name for path in up if (path / kind).exists()]:
            return found[0]
    return ""


def _address(device: str) -> str:
    """Its first IPv4 address, else its first IPv6 address that is valid beyond the link."""
    addresses = psutil.net_if_addrs().get(device, [])
    fours = [entry.address for entry in addresses if entry.family == socket.AF_INET]
    sixes = [entry.address for entry in addresses if entry.family == socket.AF_INET6 and "%" not in entry.address]
    return next(iter([*fours, *sixes]), "")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
