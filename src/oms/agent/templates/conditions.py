"""What this host has for a new machine, looked up: the facts that settings are judged by."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from oms.agent.context import Host
from oms.agent.guests import Machines
from oms.agent.host import space
from oms.agent.host.links import bridges
from oms.agent.kvm import limits, network
from oms.agent.templates.proposal import Conditions, Device

KEYMAPS: Final = Path("/usr/share/qemu/keymaps")


async def now(host: Host, machines: Machines, devices: dict[str, Device] | None = None) -> Conditions:
    """The host as it is now; `devices` are what was found of the block devices that somebody wants to use."""
    capacity, emulator, networks, usual = await asyncio.gather(
        machines.capacity(), machines.emulator(), machines.networks(), network.usual(host, machines)
    )
    images = host.storage.images
    here, free, taken = await asyncio.to_thread(lambda: (bridges(), space.free_bytes(images), _names(images)))
    return Conditions(
        limits=limits.of_host(capacity),
        emulator=emulator,
        network=usual,
        bridges=here,
        networks=networks,
        keymaps=frozenset(_names(KEYMAPS)),
        free_bytes=free,
        taken=frozenset(taken),
        devices=devices or {},
    )


def _names(directory: Path) -> Iterable[str]:
    return {path.name for path in directory.iterdir()} if directory.is_dir() else set()
