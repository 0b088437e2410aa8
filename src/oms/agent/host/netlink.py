"""The door to the kernel's network: what it is now, and one change after the other, over netlink.

The library is large and is loaded when it is first needed: most agents run for weeks without.
"""

import asyncio
import errno
import importlib
import os
import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from oms.agent.host.network import ALL4, ALL6, Address, Link, Network, Route
from oms.agent.host.network_changes import (
    Change,
    DropAddress,
    DropRoute,
    Join,
    MakeBridge,
    PutAddress,
    PutRoute,
    RemoveBridge,
    SetMac,
    Switch,
)
from oms.contract.errors import FuncManError

T = TypeVar("T")
LOCAL_TABLE = 255
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
PERMANENT, FOUND_FLAGS = 0x80, 0x80 | 0x40 | 0x08 | 0x01
"""Flags of an address: that it lasts, and those that the kernel sets by what it found."""
FOREVER = 2**32 - 1
FOUND_ROUTE_FLAGS = ~0x4
"""All but `onlink` are the kernel's own remarks."""
PLAIN = frozenset(
    {
        "RTA_TABLE", "RTA_DST", "RTA_GATEWAY", "RTA_OIF", "RTA_PRIORITY", "RTA_PREFSRC", "RTA_PREF",
        "RTA_CACHEINFO",
    }
)  # fmt: skip
"""What a route may have to it and be put there again as it was."""
GONE = (errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV)
"""What is to be taken away is away already."""


async def look() -> Network:
    """The network as it is now. Raises FuncManError."""
    return await _on_its_own_loop(_look)


async def change(changes: Iterable[Change]) -> None:
    """Make these changes, in their order. Raises FuncManError at the first that the kernel refuses."""
    await _on_its_own_loop(lambda: _change(changes))


async def _on_its_own_loop(speak: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The library needs a loop that takes any kind of socket, and the agent's takes none of netlink's: it speaks
    in a thread, on one of asyncio's."""

    def spoken() -> T:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(speak())

    return await asyncio.to_thread(spoken)


async def _look() -> Network:
    library = _loaded()
    try:
        async with library.AsyncIPRoute() as kernel:
            links = [message async for message in await kernel.get_links()]
            addresses = [message async for message in await kernel.get_addr()]
            routes = [
                message
                for family in (socket.AF_INET, socket.AF_INET6)
                async for message in await kernel.get_routes(family=family)
            ]
    except library.NetlinkError as error:
        raise _refused("show the network", error.code) from error
    names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in links}
    return Network(
        tuple(_link(message, names) for message in links),
        tuple(_address(message, names) for message in addresses if message["index"] in names),
        tuple(_route(message, names) for message in routes if _table(message) != LOCAL_TABLE),
    )


async def _change(changes: Iterable[Change]) -> None:
    library = _loaded()
    async with library.AsyncIPRoute() as kernel:
        for one in changes:
            try:
                await _make(kernel, one)
            except library.NetlinkError as error:
                if not (isinstance(one, DropAddress | DropRoute | RemoveBridge) and error.code in GONE):
                    raise _refused(_words(one), error.code) from error


def _loaded() -> Any:
    """The library; it takes a good part of a second."""
    return importlib.import_module("pyroute2")


async def _make(kernel: Any, one: Change) -> None:
    match one:
        case MakeBridge(name):
            await kernel.link("add", ifname=name, kind="bridge", br_stp_state=0, br_forward_delay=0)
        case RemoveBridge(name):
            await kernel.link("del", index=await _index(kernel, name))
        case Join(link, bridge):
            master = await _index(kernel, bridge) if bridge else 0
            await kernel.link("set", index=await _index(kernel, link), master=master)
        case Switch(link, up):
            await kernel.link("set", index=await _index(kernel, link), state="up" if up else "down")
        case SetMac(link, mac):
            await kernel.link("set", index=await _index(kernel, link), address=mac)
        case PutAddress(address):
            await kernel.addr("replace", **_said_address(address, await _index(kernel, address.link)))
        case DropAddress(address):
            said = _said_address(address, await _index(kernel, address.link))
            del said["flags"]
            await kernel.addr("del", **said)
        case PutRoute(route):
            await kernel.route("replace", **_said_route(route, await _index(kernel, route.link)))
        case DropRoute(route):
            await kernel.route("del", **_said_route(route, await _index(kernel, route.link)))


async def _index(kernel: Any, name: str) -> int:
    found = await kernel.link_lookup(ifname=name)
    if not found:
        raise _loaded().NetlinkError(errno.ENODEV)
    return int(found[0])


def _said_address(address: Address, index: int) -> dict[str, Any]:
    said: dict[str, Any] = {"index": index, "address": address.peer or address.local, "prefixlen": address.prefix}
    if not address.six:
        said |= {"local": address.local}
    said |= {name: value for name in ("broadcast", "label") if (value := getattr(address, name))}
    return said | {"scope": address.scope, "flags": address.flags}


def _said_route(route: Route, index: int) -> dict[str, Any]:
    family = socket.AF_INET6 if route.six else socket.AF_INET
    said: dict[str, Any] = {"family": family, "oif": index, "proto": route.proto, "scope": route.scope}
    if not route.for_all:
        said["dst"] = route.destination
    if route.gateway:
        said["gateway"] = route.gateway
    if route.source:
        said["prefsrc"] = route.source
    if route.metric:
        said["priority"] = route.metric
    return said | {"type": route.kind, "flags": route.flags, "table": route.table}


def _link(message: Any, names: dict[int, str]) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    state = message.get_attr("IFLA_OPERSTATE") or "UNKNOWN"
    return Link(
        name=message.get_attr("IFLA_IFNAME"),
        kind=(info.get_attr("IFLA_INFO_KIND") or "") if info else "",
        up=bool(message["flags"] & IFF_UP),
        carrier=state in ("UP", "UNKNOWN"),
        mac=(message.get_attr("IFLA_ADDRESS") or "").lower(),
        mtu=message.get_attr("IFLA_MTU") or 0,
        master=names.get(message.get_attr("IFLA_MASTER") or 0, ""),
        far=message.get_attr("IFLA_LINK_NETNSID") is not None,
        loopback=bool(message["flags"] & IFF_LOOPBACK),
    )


def _address(message: Any, names: dict[int, str]) -> Address:
    given, local = message.get_attr("IFA_ADDRESS") or "", message.get_attr("IFA_LOCAL") or ""
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    times = message.get_attr("IFA_CACHEINFO")
    return Address(
        link=names[message["index"]],
        local=local or given,
        prefix=message["prefixlen"],
        peer=given if local and given != local else "",
        broadcast=message.get_attr("IFA_BROADCAST") or "",
        label=message.get_attr("IFA_LABEL") or "",
        scope=message["scope"],
        flags=flags & ~FOUND_FLAGS,
        lasting=bool(flags & PERMANENT) or times is None or times["ifa_valid"] == FOREVER,
    )


def _route(message: Any, names: dict[int, str]) -> Route:
    six = message["family"] == socket.AF_INET6
    target = message.get_attr("RTA_DST")
    return Route(
        link=names.get(message.get_attr("RTA_OIF") or 0, ""),
        destination=f"{target}/{message['dst_len']}" if target else (ALL6 if six else ALL4),
        gateway=message.get_attr("RTA_GATEWAY") or "",
        metric=message.get_attr("RTA_PRIORITY") or 0,
        source=message.get_attr("RTA_PREFSRC") or "",
        proto=message["proto"],
        scope=message["scope"],
        kind=message["type"],
        flags=message["flags"] & ~FOUND_ROUTE_FLAGS,
        table=_table(message),
        plain={name for name, _value in message["attrs"]} <= PLAIN and not message["tos"],
        ways=tuple(names.get(way["oif"], "") for way in message.get_attr("RTA_MULTIPATH") or ()),
    )


def _table(message: Any) -> int:
    return int(message.get_attr("RTA_TABLE") or message["table"])


def _words(one: Change) -> str:
    match one:
        case MakeBridge(name):
            return f"make the bridge {name}"
        case RemoveBridge(name):
            return f"remove the bridge {name}"
        case Join(link, bridge):
            return f"make {link} a member of {bridge}" if bridge else f"take {link} out of its bridge"
        case Switch(link, up):
            return f"switch {link} {'on' if up else 'off'}"
        case SetMac(link):
            return f"give {link} its hardware address"
        case PutAddress(address) | DropAddress(address):
            verb = "put" if isinstance(one, PutAddress) else "take away"
            return f"{verb} {address.written} on {address.link}"
        case PutRoute(route) | DropRoute(route):
            verb = "put in" if isinstance(one, PutRoute) else "take out"
            return f"{verb} the route to {route.destination} on {route.link}"


def _refused(what: str, code: int) -> FuncManError:
    return FuncManError(f"This host's kernel does not {what}: {os.strerror(code)}.", code=code)
