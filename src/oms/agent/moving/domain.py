"""Definitions of machines that come from another host: read, judged, and written anew for this one. Pure.

Whoever sends them may have been taken over. So what may stand in one is listed; its files are this host's, chosen
here; and whatever else names a file of a host is refused, whether or not anybody has thought of it.
"""

import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from oms.agent import foreign_xml
from oms.agent.foreign_xml import BadXml
from oms.contract.errors import NotSupported, NotThere, Unusable

PARTS: Final = frozenset(
    {
        "name", "uuid", "genid", "title", "description", "metadata", "memory", "currentMemory", "maxMemory",
        "vcpu", "vcpus", "iothreads", "iothreadids", "cputune", "memtune", "resource", "os", "features", "cpu",
        "clock",
        "on_poweroff", "on_reboot", "on_crash", "pm", "devices", "seclabel",
    }
)  # fmt: skip
STARTS: Final = frozenset({"type", "boot", "bootmenu", "bios", "smbios"})
"""Of `os`: a kernel, firmware or its memory in a file of its host does not come along."""
DEVICES: Final = frozenset(
    {
        "emulator", "disk", "controller", "interface", "serial", "parallel", "console", "channel", "input",
        "graphics", "video", "sound", "audio", "watchdog", "memballoon", "rng", "panic", "memory", "hub",
        "redirdev", "iommu",
    }
)  # fmt: skip
DRIVES: Final = frozenset({"disk", "cdrom", "floppy"})
LINES: Final = frozenset({"pty", "unix", "spicevmc", "null"})
"""What is at the host's end of serial lines and channels: nothing that the host could not make anew."""
NETWORKS: Final = frozenset({"bridge", "network", "user"})
RANDOM: Final = frozenset({"/dev/urandom", "/dev/random"})
ANEW: Final = (
    "devices/interface/script", "devices/interface/target", "devices/interface/backend", "devices/serial/source",
    "devices/console/source", "devices/parallel/source", "devices/channel/source", "devices/disk/mirror",
    "devices/emulator", "seclabel", "resource",
)  # fmt: skip
"""What each host has of its own."""


class Here(msgspec.Struct, frozen=True):
    """What this host has: its ways to run machines, its program for that, bridges and networks."""

    types: Collection[str]
    emulator: str
    bridges: Collection[str]
    networks: Collection[str]


class Place(msgspec.Struct, frozen=True):
    """Where a drive's file is on this host; `whole`: it stands upon no other."""

    file: Path
    whole: bool


def adapted(text: str, name: str, uuid: str, places: Mapping[str, Place], here: Here) -> str:
    """The definition for this host, with the files of its drives by target. Raises Unusable, NotSupported,
    NotThere."""
    try:
        root = foreign_xml.tree(text)
    except BadXml as bad:
        raise Unusable(f"The machine's definition cannot be read: {bad}") from bad
    _check_parts(root, name, uuid, here)
    for path in ANEW:
        _remove(root, path)
    for disk in root.iterfind("devices/disk"):
        _put(disk, places)
    for line in _each(root, "serial", "console", "parallel", "channel", "redirdev"):
        if line.get("type") not in LINES:
            raise _cannot(f"a {line.tag} of the type {line.get('type')!r}")
    for random in root.iterfind("devices/rng/backend"):
        if random.get("model") not in {"random", "builtin"}:
            raise _cannot(f"a source of random numbers of the kind {random.get('model')!r}")
    for interface in root.iterfind("devices/interface"):
        _check_interface(interface, here)
    for graphics in root.iterfind("devices/graphics"):
        _check_graphics(graphics)
    _refuse_files(root, {str(place.file) for place in places.values()})
    ET.SubElement(_devices(root), "emulator").text = here.emulator
    return ET.tostring(root, encoding="unicode")


def _check_parts(root: ET.Element, name: str, uuid: str, here: Here) -> None:
    if root.tag != "domain" or root.findtext("name") != name or (root.findtext("uuid") or "").lower() != uuid:
        raise Unusable("The definition is not that of the machine that was to come")
    if root.get("type") not in here.types:
        raise NotSupported(f"This host does not run machines of the type {root.get('type')!r}")
    _only(root, PARTS, "")
    for system in root.iterfind("os"):
        _only(system, STARTS, "os/")
    _only(_devices(root), DEVICES, "devices/")


def _only(element: ET.Element, known: Collection[str], where: str) -> None:
    for child in element:
        if child.tag not in known:
            raise _cannot(f"{where}{child.tag}")


def _devices(root: ET.Element) -> ET.Element:
    found = root.findall("devices")
    if len(found) != 1:
        raise Unusable("The definition has no list of devices, or several")
    return found[0]


def _remove(root: ET.Element, path: str) -> None:
    above, _, tag = path.rpartition("/")
    for parent in root.findall(above) if above else [root]:
        for child in parent.findall(tag):
            parent.remove(child)


def _put(disk: ET.Element, places: Mapping[str, Place]) -> None:
    """Give a drive its file on this host."""
    targets = disk.findall("target")
    target = targets[0].get("dev", "") if len(targets) == 1 else ""
    if disk.get("type") != "file" or disk.get("device", "disk") not in DRIVES:
        raise _cannot(f"drive {target} ({disk.get('type')}, {disk.get('device', 'disk')})")
    place = places.get(target)
    sources = disk.findall("source")
    if place is None:
        if any(source.attrib for source in sources) or disk.get("device", "disk") == "disk":
            raise Unusable(f"The definition has a drive {target!r} that was not offered")
        return
    for source in sources:
        disk.remove(source)
    ET.SubElement(disk, "source", file=str(place.file))
    for behind in disk.findall("backingStore"):
        disk.remove(behind)
    if place.whole:
        ET.SubElement(disk, "backingStore")


def _check_interface(interface: ET.Element, here: Here) -> None:
    kind = interface.get("type", "")
    if kind not in NETWORKS:
        raise _cannot(f"an interface of the type {kind!r}")
    for source in interface.iterfind("source"):
        for network in source.attrib.keys() - {kind}:
            del source.attrib[network]
        name, known = source.get(kind, ""), here.bridges if kind == "bridge" else here.networks
        if kind != "user" and name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise NotThere(f"This host has no {kind} {name!r} for the machine; it has: {there}", **{kind: name})


def _check_graphics(graphics: ET.Element) -> None:
    if graphics.get("type") not in {"vnc", "spice"} or graphics.get("socket") is not None:
        raise _cannot(f"graphics of the type {graphics.get('type')!r}")
    for listen in graphics.iterfind("listen"):
        if listen.get("type") not in {"address", "none"}:
            raise _cannot("graphics that listen at a socket or network of its host")


def _refuse_files(root: ET.Element, ours: Collection[str]) -> None:
    """Whatever reads as a path, and is not one of those that were put there."""
    for element in _without_metadata(root):
        for value in (element.text or "", *element.attrib.values()):
            path = value.strip()
            if path.startswith(("/", "./", "../")) and path not in ours and not _is_random(element, path):
                raise _cannot(f"a file of its host in {element.tag}")


def _is_random(element: ET.Element, value: str) -> bool:
    return element.tag == "backend" and element.get("model") == "random" and value in RANDOM


def _without_metadata(root: ET.Element) -> Iterator[ET.Element]:
    yield root
    for child in root:
        if child.tag not in {"metadata", "title", "description"}:
            yield from child.iter()


def _each(root: ET.Element, *tags: str) -> Iterator[ET.Element]:
    for tag in tags:
        yield from root.iterfind(f"devices/{tag}")


def _cannot(what: str) -> NotSupported:
    return NotSupported(
        f"The machine has what cannot be moved to another host: {what}. Take it out of the machine first."
    )
