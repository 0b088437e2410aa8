"""What only one container of a host can have: its id, its host name, its addresses.

Whoever gives one of these to a container holds it as a lease until the container has it, so of two calls at one
moment the second is told so.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

import msgspec

from oms.agent.context import Host
from oms.agent.guests.containers import Container, ContainerChange, Containers
from oms.agent.ovz.limits import plain
from oms.contract.ovz import Refusals

ID: Final = "container/"
NAME: Final = "hostname/"
ADDRESS: Final = "address/"
"""Before what is held."""


class Wish(msgspec.Struct, frozen=True):
    """What a container is to have that no other has; "" is none. Addresses may have prefixes."""

    ctid: str = ""
    hostname: str = ""
    addresses: tuple[str, ...] = ()

    def held(self, host: Host) -> AbstractAsyncContextManager[None]:
        """Hold it for the host's job."""
        ids = [f"{ID}{self.ctid}"] if self.ctid else []
        names = [f"{NAME}{self.hostname}"] if self.hostname else []
        addresses = [f"{ADDRESS}{address}" for address in plain(self.addresses)]
        return host.leases.hold(host.job, alone=[*ids, *names, *addresses])


class Taken(msgspec.Struct, frozen=True):
    """What the containers of a host have. `names` and `addresses` say whose each is, "" for one that another call
    is just giving to a container."""

    ids: frozenset[str]
    names: dict[str, str]
    addresses: dict[str, str]

    def called(self, name: str) -> str:
        """By whom that name is taken, in words, or ""."""
        if not name or (who := self.names.get(name)) is None:
            return ""
        if not who:
            return f"A container is just being given the name {name!r}"
        return f"Container {who} is called {name!r} already"

    def at(self, address: str) -> str:
        """By whom that address is taken, in words, or ""."""
        (one,) = plain([address])
        if (who := self.addresses.get(one)) is None:
            return ""
        return f"IP address {one} is {f'that of container {who}' if who else 'just being given to a container'}"

    def against(self, wish: Wish) -> Refusals:
        """Why a container cannot have what it is to have, by setting."""
        called = self.called(wish.hostname)
        at = next(filter(None, map(self.at, wish.addresses)), "")
        return ({"hostname": called} if called else {}) | ({"ip_address": at} if at else {})

    def refusals(self, wish: Wish) -> Refusals:
        """The same, for somebody who can choose."""
        advice = {"hostname": "choose another name", "ip_address": "choose another"}
        return {name: f"{why}: {advice[name]}" for name, why in self.against(wish).items()}

    def allows(self, wish: Wish) -> bool:
        """Whether all of it is free."""
        return wish.ctid not in self.ids and not self.against(wish)


def asked(change: ContainerChange, container: Container) -> Wish:
    """What a change gives to a container that it has not yet: what it has it keeps, whoever else has it too."""
    now = container.settings
    has = plain((*now.addresses, *(container.live.addresses if container.live else ())))
    return Wish(
        hostname=change.hostname if change.hostname and change.hostname != now.hostname else "",
        addresses=tuple(one for one in plain(change.addresses or ()) if one not in has),
    )


async def taken(host: Host, containers: Containers) -> Taken:
    """As it is now; what the job itself holds is free."""
    states, addresses = await asyncio.gather(containers.states(), containers.addresses())
    ids, names, given = (host.leases.names(front, but=host.job) for front in (ID, NAME, ADDRESS))
    whose = {one: ctid for ctid, its in addresses.items() for one in plain(its)}
    return Taken(
        ids=frozenset(state.ctid for state in states) | ids,
        names=dict.fromkeys(names, "") | {state.name: state.ctid for state in states},
        addresses=dict.fromkeys(given, "") | whose,
    )


async def take(wish: Wish, host: Host, containers: Containers, held: AsyncExitStack) -> Taken | None:
    """Hold it until `held` ends; what is taken, where that is some of it."""
    if wish == Wish():
        return None
    now = await taken(host, containers)
    if not now.allows(wish):
        return now
    await held.enter_async_context(wish.held(host))
    # A quick job may have given it to a container and let go since these were looked at.
    now = await taken(host, containers)
    return None if now.allows(wish) else now
