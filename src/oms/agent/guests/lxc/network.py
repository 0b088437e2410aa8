"""A container's interface: the lines that say how it is set up, and its addresses while it runs.

New ones are routed, as OpenVZ's venet0 is: the host sends packets for the container's addresses into its
interface, and answers for the gateway there. Or they are on a bridge. Addresses of a
running one are changed by the host's own `ip`, in its network namespace; read, they stand in files of the kernel.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from oms.agent.guests.containers import Network

GATEWAY: Final = "169.254.1.1"
"""Stands for the host on every routed interface; it is on no network."""
GATEWAY6: Final = "fe80::1"
ROUTED, BRIDGED = "venet0", "eth0"
PAIR: Final = "venet"
"""The host's end of every routed interface begins so, and nothing else on the host."""
FRONT: Final = "lxc.net.0."
ROUTES, FORWARDING = Path("/proc/net/route"), "/proc/sys/net/ipv{}/conf/{}/forwarding"
PREFIX: Final = {4: 24, 6: 64}
"""Of a bridged address that has none."""
Lines = dict[str, list[str]]


def lines(network: Network, addresses: Iterable[str], pair: str) -> Lines:
    """The whole set-up of an interface, by key."""
    routed = network.kind == "routed"
    found: dict[str, list[str]] = {
        "type": ["veth"],
        "veth.mode": ["router"] if routed else [],
        "veth.pair": [pair] if routed else [],
        "link": [network.bridge] if network.bridge else [],
        "l2proxy": [],
        "flags": ["up"],
        "name": [network.name],
        "hwaddr": [network.mac],
    }
    return {FRONT + key: value for key, value in found.items()} | address_lines(network, addresses)


def address_lines(network: Network, addresses: Iterable[str]) -> Lines:
    """Its addresses, and by which gateway they reach others."""
    ipv4, ipv6 = _parted(addresses)
    routed = network.kind == "routed"
    with_prefix = [(_length(address, routed=routed), address) for address in (*ipv4, *ipv6)]
    own = [f"{address.partition('/')[0]}/{length}" for length, address in with_prefix]
    gateway = GATEWAY if routed and ipv4 else "" if routed else gateway_for(own)
    gateway6 = GATEWAY6 if routed and ipv6 else ""
    return {
        f"{FRONT}ipv4.address": own[: len(ipv4)],
        f"{FRONT}ipv4.gateway": [gateway] if gateway else [],
        f"{FRONT}ipv6.address": own[len(ipv4) :],
        f"{FRONT}ipv6.gateway": [gateway6] if gateway6 else [],
    }


def host_lines(uplink: str, pair: str) -> Lines:
    """What the host has of a routed interface: its name there, and whether the host answers for its addresses on
    the network that it is on itself."""
    return {
        f"{FRONT}veth.pair": [pair],
        f"{FRONT}link": [uplink] if uplink else [],
        f"{FRONT}l2proxy": ["1"] if uplink else [],
    }


def uplink(routes: str | None = None) -> str:
    """The host's interface to others, where the host passes packets on; "" where it does not."""
    name, _gateway = _default(ROUTES.read_text() if routes is None else routes)
    return name if name and forwards(4, name) else ""


def forwards(version: int, interface: str) -> bool:
    """Whether the host passes on what comes by that interface."""
    try:
        return Path(FORWARDING.format(version, interface)).read_text().strip() == "1"
    except OSError:
        return False


def gateway_for(own: Iterable[str], routes: str | None = None) -> str:
    """The host's own gateway, where one of these addresses (with prefix) is on its network; else ""."""
    _name, gateway = _default(ROUTES.read_text() if routes is None else routes)
    near = gateway and any(ipaddress.ip_address(gateway) in ipaddress.ip_interface(one).network for one in own)
    return gateway if near else ""


def mac_for(ctid: str) -> str:
    """One that is the container's wherever it runs, of those that nobody is given: 02:4f:5a and its number."""
    number = int(ctid) if ctid.isdigit() else sum(ctid.encode())
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x4F, *(number % 2**32).to_bytes(4, "big")))


def pair_for(ctid: str) -> str:
    """The host's end of its interface; at most 15 letters."""
    return f"{PAIR}{ctid}"[:15]


def addresses_of(pid: int) -> tuple[str, ...]:
    """The addresses of a running container, IPv4 first; neither loopback nor link-local."""
    try:
        ipv4 = addresses_in(Path(f"/proc/{pid}/net/fib_trie").read_text())
        ipv6 = addresses6_in(Path(f"/proc/{pid}/net/if_inet6").read_text())
    except OSError:
        return ()
    return (*ipv4, *ipv6)


def addresses_in(fib_trie: str) -> tuple[str, ...]:
    """IPv4 addresses of a kernel's table of routes: those that it says are its own."""
    found: dict[str, None] = {}
    last = ""
    for line in fib_trie.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            last = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"] and not last.startswith("127."):
            found[last] = None
    return tuple(found)


def addresses6_in(if_inet6: str) -> tuple[str, ...]:
    """IPv6 addresses of a kernel's list of them, those of global scope."""
    found = []
    for line in if_inet6.splitlines():
        digits, _index, _length, scope, *_rest = line.split()
        if scope == "00":
            found.append(str(ipaddress.IPv6Address(int(digits, 16))))
    return tuple(found)


def change(network: Network, pid: int, pair: str, gone: Iterable[str], come: Iterable[str]) -> list[list[str]]:
    """The programs that change the addresses of a running container, each harmless when it is run again."""
    routed = network.kind == "routed"
    inside = ["nsenter", "-t", str(pid), "-n", "--", "ip"]
    steps: list[list[str]] = []
    for address in gone:
        plain = address.partition("/")[0]
        steps.append([*inside, "addr", "del", f"{plain}/{_length(address, routed=routed)}", "dev", network.name])
        if routed:
            steps.append(["ip", "route", "del", plain, "dev", pair])
    for address in come:
        plain, version = address.partition("/")[0], ipaddress.ip_address(address.partition("/")[0]).version
        with_prefix = f"{plain}/{_length(address, routed=routed)}"
        steps.append([*inside, "addr", "replace", with_prefix, "dev", network.name])
        if routed:
            gateway = GATEWAY if version == 4 else GATEWAY6
            steps += [
                ["ip", "route", "replace", plain, "dev", pair],
                ["ip", "neigh", "replace", "proxy", gateway, "dev", pair],
                [*inside, "route", "replace", gateway, "dev", network.name],
                [*inside, "route", "replace", "default", "via", gateway, "dev", network.name],
            ]
    return steps


def _parted(addresses: Iterable[str]) -> tuple[list[str], list[str]]:
    found = list(addresses)
    ipv4 = [address for address in found if ":" not in address]
    return ipv4, [address for address in found if ":" in address]


def _length(address: str, *, routed: bool) -> int:
    _, slash, length = address.partition("/")
    if routed:
        return 128 if ":" in address else 32
    return int(length) if slash else PREFIX[6 if ":" in address else 4]


def _default(routes: str) -> tuple[str, str]:
    """Interface and gateway of the default route."""
    for line in routes.splitlines()[1:]:
        name, destination, gateway, *_rest = line.split()
        if destination == "00000000":
            return name, socket.inet_ntoa(struct.pack("<I", int(gateway, 16)))
    return "", ""
