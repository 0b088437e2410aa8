"""What is said to vzctl: settings as its options, a new container as its configuration file. Pure.

The file is one that shells on the host source, so every value in it is of few letters and in quotes. Sources:
vzctl(8), ctid.conf(5), vz.conf(5).
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from oms.agent.guests.containers import ContainerChange, ContainerSettings, NewContainer
from oms.agent.guests.vzctl.listing import MARK

UNLIMITED: Final = "unlimited"
SAFE: Final = re.compile(r"[A-Za-z0-9 ._:/,;=$-]*")
ASSIGNMENT: Final = re.compile(r'^\s*([A-Z_]+)=(?:"([^"]*)"|(\S*))', re.MULTILINE)
HOST_SIDE: Final = "veth{}.0"


class Unsafe(Exception):
    """A value that must not stand in a file which a shell reads."""


def options(change: ContainerChange) -> list[str]:
    """The options of `vzctl set` for a change, but for the password; none where nothing is to be other."""
    words: list[str] = []
    if change.hostname is not None:
        words += ["--hostname", change.hostname]
    if change.memory_kb is not None:
        words += ["--ram", _size(change.memory_kb)]
    if change.swap_kb is not None:
        words += ["--swap", f"{change.swap_kb}K"]
    if change.vcpus:
        words += ["--cpus", str(change.vcpus)]
    if change.vcpulimit is not None:
        words += ["--cpulimit", str(change.vcpulimit)]
    if change.disk_kb is not None:
        size = _size(change.disk_kb)
        words += ["--diskspace", f"{size}:{size}"]
    if change.addresses is not None:
        words += ["--ipdel", "all", *_each("--ipadd", change.addresses)]
    words += _each("--nameserver", change.nameservers or ())
    words += _each("--searchdomain", change.searchdomains or ())
    if change.onboot is not None:
        words += ["--onboot", "yes" if change.onboot else "no"]
    return words


def configuration(new: NewContainer, job: str, sample: str, private: Path, root: Path) -> str:
    """The file of a new container: what the host's sample says, and over that its own. Raises Unsafe."""
    ours = {
        "VE_ROOT": str(root),
        "VE_PRIVATE": str(private),
        "VE_LAYOUT": "simfs",
        "DESCRIPTION": f"{MARK}{job}",
        **_settings(new.settings),
    }
    if new.bridge:
        mac = f",mac={new.mac}" if new.mac else ""
        ours["NETIF"] = f"ifname=eth0,bridge={new.bridge}{mac},host_ifname={HOST_SIDE.format(new.ctid)}"
    for name, value in ours.items():
        if not SAFE.fullmatch(value) or "$" in value:
            raise Unsafe(f"{value!r} cannot stand as {name} in a container's configuration file")
    kept = {name: value for name, value in assignments(sample).items() if name not in ours}
    return "".join(f'{name}="{value}"\n' for name, value in {**kept, **ours}.items())


def assignments(text: str) -> dict[str, str]:
    """The variables of such a file; what is more than plain letters in quotes is left out."""
    found = {match[1]: match[2] or match[3] or "" for match in ASSIGNMENT.finditer(text)}
    return {name: value for name, value in found.items() if SAFE.fullmatch(value)}


def place(variables: Mapping[str, str], name: str, otherwise: str, ctid: str) -> Path:
    """A directory that vz.conf names for each container."""
    return Path((variables.get(name) or otherwise).replace("$VEID", ctid))


def _settings(settings: ContainerSettings) -> dict[str, str]:
    size = UNLIMITED if not settings.disk_kb else str(settings.disk_kb)
    ram = UNLIMITED if not settings.memory_kb else f"{settings.memory_kb}K"
    told = {
        "ONBOOT": "yes" if settings.onboot else "no",
        "HOSTNAME": settings.hostname,
        "PHYSPAGES": f"0:{ram}",
        "SWAPPAGES": f"0:{settings.swap_kb}K",
        "DISKSPACE": f"{size}:{size}",
        "CPUS": str(settings.vcpus) if settings.vcpus else "",
        "CPULIMIT": str(settings.vcpulimit) if settings.vcpulimit else "",
        "IP_ADDRESS": " ".join(settings.addresses),
        "NAMESERVER": " ".join(settings.nameservers),
        "SEARCHDOMAIN": " ".join(settings.searchdomains),
    }
    return {name: value for name, value in told.items() if value}


def _size(kb: int) -> str:
    return f"{kb}K" if kb else UNLIMITED


def _each(option: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (option, value)]
