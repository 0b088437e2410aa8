"""What this host has for a container that is to come of a template, looked up."""

import asyncio
import ipaddress
import platform
from pathlib import Path
from typing import Final

import msgspec

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests.containers import Containers
from oms.agent.host import space
from oms.agent.host.stoppable import Progress
from oms.agent.ovz import taken as others
from oms.agent.ovz.handlers import limits_of_host
from oms.agent.rootfs import looking, proposal
from oms.agent.rootfs.catalogue import Template
from oms.agent.rootfs.proposal import NOTHING, Case, Conditions
from oms.agent.tarballs.scanning import Found
from oms.agent.templates import ovf, words
from oms.agent.templates.appliance import BadPackage

RESOLVER: Final = Path("/etc/resolv.conf")


async def now(host: Host, containers: Containers) -> Conditions:
    """The host as it is now; what the job itself holds is free."""
    legal, nameserver, taken = await asyncio.gather(
        limits_of_host(containers), asyncio.to_thread(_nameserver), others.taken(host, containers)
    )
    return Conditions(
        limits=msgspec.structs.replace(legal, routed=not host.offer.container_bridge),
        nameserver=nameserver,
        taken=taken,
    )


async def look(template: Template, host: Host, containers: Containers, progress: Progress) -> Found:
    """What a template holds, which runs on this host. Raises Unusable, NoSpace, FuncManError."""
    directory, ids = host.storage.rootfs, containers.capabilities.ids
    with placing.told(directory):
        room = await asyncio.to_thread(space.free_bytes, containers.home)
        found = await looking.found(directory, template, ids, room, progress)
    try:
        looking.check_machine(found, platform.machine())
    except BadPackage as bad:
        raise words.unusable(template.name, bad) from bad
    return found


def case(template: Template, name: str, found: Found, here: Conditions) -> Case:
    """What a container of that name may be. Raises Unusable."""
    try:
        described = template.beside or (ovf.read(found.descriptor) if found.descriptor else None)
    except BadPackage as bad:
        raise words.unusable(template.name, bad) from bad
    return Case(
        template=template.name,
        name=name,
        vcpus=described.vcpus if described else NOTHING,
        memory_mb=described.memory_mb if described else NOTHING,
        needed_mb=proposal.needed_mb(found.needed_bytes),
        here=here,
    )


def _nameserver() -> str:
    """The first that this host asks, unless only the host can ask it."""
    try:
        lines = RESOLVER.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, word = line.strip().partition(" ")
        try:
            if key == "nameserver" and not ipaddress.ip_address(word.strip()).is_loopback:
                return word.strip()
        except ValueError:
            continue
    return ""
