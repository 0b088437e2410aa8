"""Which containers can leave a host, and which can come to one; when enough was copied. Pure."""

import re
from collections.abc import Collection
from typing import Final, Literal

import msgspec

from oms.agent.given import KB_PER_MB
from oms.agent.guests.containers import Container, ContainerCapabilities, ContainerSettings
from oms.agent.ovz import limits
from oms.agent.ovz.limits import Limits
from oms.agent.ovz.moving.words import Offer
from oms.agent.ovz.taken import Taken, Wish
from oms.contract.errors import OmsError
from oms.contract.ovz.migration import OpenVZMigrationNotCapable

MAC: Final = r"(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})?"
ROOM_PERCENT = 105
"""Of what the files have, that they may take on another file system."""
MOST_PASSES = 6
"""While it runs."""
SMALL_BYTES = 8 * 1024 * 1024
LESS = 0.7
"""A pass that carries more than this share of the one before gains nothing."""

NO_VZMIGRATE = (
    "it runs on OpenVZ's kernel, and only vzmigrate takes it to another such host. That needs root of this host "
    "to be let in there by SSH; where it is, set container_vzmigrate = true in the settings of this host's agent"
)


class Place(msgspec.Struct, frozen=True):
    """What the host has to which a container is to go. `lacking`: as in "rsync is not installed"; `own_bridge`:
    for containers whose bridge it does not have."""

    capabilities: ContainerCapabilities
    limits: Limits
    available_memory_kb: int
    free_kb: int
    lacking: str
    bridges: Collection[str]
    own_bridge: str


def refusal(
    host: Literal["source", "target"], why: str, reason: str = "not_supported"
) -> OpenVZMigrationNotCapable:
    """The document's error, with the reason."""
    can = "leave this host" if host == "source" else "come to that host"
    return OpenVZMigrationNotCapable(f"The container cannot {can}: {why}", host=host, reason=reason)


def refused_there(error: OmsError) -> OpenVZMigrationNotCapable:
    """The same of what the other host says."""
    if isinstance(error, OpenVZMigrationNotCapable):
        return error
    return refusal("target", error.message, str(error.details().get("reason", "refused")))


def check_can_leave(container: Container, capabilities: ContainerCapabilities, lacking: str) -> None:
    """Raises OpenVZMigrationNotCapable."""
    if why := _stays(container, capabilities, lacking):
        raise refusal("source", why)


def _stays(container: Container, capabilities: ContainerCapabilities, lacking: str) -> str:
    if container.state == "paused":
        return "it stands still, and could not be shut down; let it go on with resume_vm first"
    if capabilities.backend == "openvz":
        return "" if capabilities.sends else NO_VZMIGRATE
    if lacking:
        return f"{lacking} on it"
    if not container.ours:
        return "it was not made by OMS, and what its configuration says beyond OMS's settings would be lost"
    if not container.ids:
        return (
            "it is privileged: its root is the host's root, and a host lets nothing come to it that could take it "
            "over. Make it anew of a template as an unprivileged one"
        )
    if container.network.kind not in ("routed", "bridge"):
        return "its network is neither routed nor on a bridge"
    if container.rootfs is None:
        return "its root file system cannot be seen from the host"
    return ""


def bridge_there(offer: Offer, place: Place) -> str:
    """The bridge it will be on; "" for one that is routed. Raises OpenVZMigrationNotCapable."""
    if not offer.bridge or offer.bridge in place.bridges:
        return offer.bridge
    if place.own_bridge and place.own_bridge in place.bridges:
        return place.own_bridge
    there = ", ".join(sorted(place.bridges)) or "none"
    why = f"it has no bridge {offer.bridge!r}, and its setting container_bridge names none; it has: {there}"
    raise refusal("target", why, "not_there")


def check_can_come(offer: Offer, place: Place) -> None:
    """Raises OpenVZMigrationNotCapable."""
    can = place.capabilities
    if can.backend == "openvz":
        raise refusal("target", "it runs containers with OpenVZ's kernel, which takes none that LXC has made")
    if place.lacking:
        raise refusal("target", f"{place.lacking} on it")
    if not can.ids:
        why = "it has no ids for containers, whose root would be the host's root; see its setting container_ids"
        raise refusal("target", why)
    legal = msgspec.structs.replace(place.limits, routed=not offer.bridge)
    if refused := limits.refused(_as_given(offer.settings), legal):
        raise refusal("target", "; ".join(refused.values()))
    if not re.fullmatch(MAC, offer.mac):
        raise refusal("target", "its interface has no address that could be used", "unusable")
    if offer.memory_kb > place.available_memory_kb:
        raise refusal(
            "target",
            f"it uses {offer.memory_kb // KB_PER_MB} MB of memory, and that host has "
            f"{place.available_memory_kb // KB_PER_MB} MB left to give",
            "no_memory",
        )
    if (needed := offer.used_kb * ROOM_PERCENT // 100) > place.free_kb:
        raise refusal(
            "target",
            f"its files take {needed // KB_PER_MB} MB, and there is room for {place.free_kb // KB_PER_MB} MB",
            "no_space",
        )
    bridge_there(offer, place)


def wish(ctid: str, offer: Offer) -> Wish:
    """What only one container of a host can have of it."""
    return Wish(ctid, offer.settings.hostname, offer.settings.addresses)


def check_others(wish: Wish, others: Taken) -> None:
    """Raises OpenVZMigrationNotCapable."""
    if wish.ctid in others.ids:
        raise refusal("target", f"there is a container {wish.ctid} on it already", "already_there")
    if against := others.against(wish):
        why = "; ".join(against.values())
        raise refusal("target", f"{why}. Give one of them another with update_vm_settings first", "already_there")


def _as_given(settings: ContainerSettings) -> dict[str, str | int]:
    """As a caller would give them, what limits nothing left out: whoever offers it may say anything."""
    numbers: dict[str, str | int] = {
        "memory": -(-settings.memory_kb // KB_PER_MB),
        "swap": -(-settings.swap_kb // KB_PER_MB),
        "disk": -(-settings.disk_kb // KB_PER_MB),
        "vcpu": settings.vcpus,
        "vcpulimit": settings.vcpulimit,
    }
    words: dict[str, str | int] = {
        "ip_address": " ".join(settings.addresses),
        "nameserver": " ".join(settings.nameservers),
        "searchdomain": " ".join(settings.searchdomains),
        "hostname": settings.hostname,
    }
    return {name: value for name, value in {**numbers, **words}.items() if value}


def is_enough(sent: list[int]) -> bool:
    """Whether another pass while it runs would not make its stop shorter; `sent`: bytes of each pass so far."""
    if len(sent) >= MOST_PASSES or sent[-1] <= SMALL_BYTES:
        return True
    return len(sent) > 2 and sent[-1] > sent[-2] * LESS
