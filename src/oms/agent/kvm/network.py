"""Which network a new machine is on, where nobody has said."""

import asyncio
from collections.abc import Collection
from typing import Final, Literal

import msgspec

from oms.agent.context import Host
from oms.agent.guests import Machines
from oms.agent.host.links import bridges
from oms.contract.errors import NotThere

USUAL_BRIDGE: Final = "vmbr0"
USUAL_NETWORK: Final = "default"  # what libvirt brings along: behind the host's own address
NO_NETWORK: Final = (
    f"the machine has no network: this host has no bridge {USUAL_BRIDGE}, its agent's setting bridge names none, "
    f"and libvirt's network {USUAL_NETWORK!r} is not active"
)


class Network(msgspec.Struct, frozen=True):
    """A bridge of the host, or a network of libvirt's."""

    kind: Literal["bridge", "network"]
    name: str


async def usual(host: Host, machines: Machines) -> Network | None:
    """The network for new machines of this host; None where there is none (NO_NETWORK says so to people). Raises
    NotThere."""
    return choose(host.offer.bridge, await asyncio.to_thread(bridges), await machines.networks())


def choose(setting: str, present: Collection[str], networks: Collection[str]) -> Network | None:
    """By the agent's setting, the host's bridges, and libvirt's active networks. Raises NotThere where the bridge
    that was set is not there: a machine without a network, or on another one, is not what was meant."""
    if setting and setting not in present:
        there = ", ".join(sorted(present)) or "none"
        raise NotThere(
            f"This host has no bridge {setting!r}, as its agent's setting bridge says; its bridges are: {there}",
            bridge=setting,
        )
    if setting or USUAL_BRIDGE in present:
        return Network("bridge", setting or USUAL_BRIDGE)
    return Network("network", USUAL_NETWORK) if USUAL_NETWORK in networks else None
