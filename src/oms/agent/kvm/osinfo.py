"""What is known of operating systems: which devices they can drive, and how much they need. Pure.

The knowledge is osinfo-db's, a directory of XML files that distributions carry and keep up. An operating system
has one address and one or more short names; it can drive what is said of it, and all that those can which it
derives from.

Source: osinfo-db's schema (osinfo.rng) and libosinfo's handling of `derives-from` and `clones`.
"""

import difflib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from oms.contract.errors import ParameterMismatch

MIB: Final = 1024 * 1024
NEAREST: Final = 3
SEPARATOR_FREE: Final = str.maketrans("", "", "-_ ")
OLD_NAMES: Final[Mapping[str, str]] = {
    "msdos": "msdos6.22",
    "openbsd4": "openbsd4.2",
    "opensolaris": "opensolaris2009.06",
    "virtio26": "linux2016",
    "vista": "winvista",
    "winxp64": "winxp",
}
"""Names by which tools of 2010 called what has another name today."""
NOTHING_SAID: Final = frozenset({"generic", "generic24", "generic26"})
"""Names of those tools that say no more than "some Linux", perhaps an old one."""


class OperatingSystem(msgspec.Struct, frozen=True):
    """One operating system. `names` are lower-case; the first is the usual one."""

    id: str
    names: tuple[str, ...]
    title: str
    family: str
    """As in `linux` or `winnt`."""
    version: str
    devices: frozenset[str]
    """Addresses of devices, as in `http://pcisig.com/pci/1af4/1001`."""
    minimum_memory_mb: int
    """0 where nothing is said."""
    installer_reboots: int
    """How often its installer restarts the machine before it is done."""


class _Said(msgspec.Struct, frozen=True):
    """What one file says by itself. `parents` are addresses."""

    own: OperatingSystem
    without: frozenset[str]
    parents: tuple[str, ...]


class Database:
    """All operating systems, by address and by name."""

    def __init__(self, said: Iterable[_Said]) -> None:
        self._said = {one.own.id: one for one in said}
        self._ids = {name: one.own.id for one in self._said.values() for name in one.own.names}

    def __len__(self) -> int:
        return len(self._said)

    def find(self, name: str) -> OperatingSystem | None:
        """The system that is meant by a name; None where the name means none in particular. Raises
        ParameterMismatch, which names the nearest."""
        lower = name.lower()
        if not self._said or lower in NOTHING_SAID:
            return None
        plain = OLD_NAMES.get(lower, lower)
        for spelled in (plain, f"{plain}.0"):
            if spelled in self._ids:
                return self._whole(self._ids[spelled])
        near = " or ".join(self._nearest(plain))
        hint = f"; did you mean {near}?" if near else "."
        raise ParameterMismatch(
            f"This host knows no operating system {name!r}{hint} Its package osinfo-db has the names; "
            '"" stands for any.',
            parameter="os_variant",
        )

    def _nearest(self, name: str) -> list[str]:
        by_letters = {known.translate(SEPARATOR_FREE): known for known in self._ids}
        found = difflib.get_close_matches(name.translate(SEPARATOR_FREE), by_letters, NEAREST, 0.6)
        return [by_letters[letters] for letters in found]

    def _whole(self, address: str) -> OperatingSystem:
        """With all that it has from those it derives from."""
        return msgspec.structs.replace(self._said[address].own, devices=self._devices(address, frozenset()))

    def _devices(self, address: str, seen: frozenset[str]) -> frozenset[str]:
        one = self._said.get(address)
        if one is None or address in seen:
            return frozenset()
        inherited = (self._devices(parent, seen | {address}) for parent in one.parents)
        return frozenset().union(*inherited) - one.without | one.own.devices


def read(texts: Iterable[bytes]) -> Database:
    """The database from the texts of its files. One that is no XML is passed over, and so is what says nothing of
    an operating system under a name (files with drivers)."""
    return Database(said for text in texts for said in _systems(text))


def _systems(text: bytes) -> Iterator[_Said]:
    try:
        # A file of the distribution's, which only root can write.
        root = ET.fromstring(text)  # noqa: S314
    except ET.ParseError:
        return
    for os in root.iterfind("os"):
        names = tuple(name.text.strip().lower() for name in os.iterfind("short-id") if name.text)
        address = os.get("id", "")
        if names and address:
            yield _said(os, address, names)


def _said(os: ET.Element, address: str, names: tuple[str, ...]) -> _Said:
    devices = list(os.iterfind("devices/device"))
    without = frozenset(device.get("id", "") for device in devices if device.get("supported") == "false")
    parents = [parent.get("id", "") for kind in ("derives-from", "clones") for parent in os.iterfind(kind)]
    reboots = [media.get("installer-reboots", "1") for media in os.iterfind("media")]
    return _Said(
        own=OperatingSystem(
            id=address,
            names=names,
            title=os.findtext("name", names[0]),
            family=os.findtext("family", ""),
            version=os.findtext("version", ""),
            devices=frozenset(device.get("id", "") for device in devices) - without,
            minimum_memory_mb=_memory_mb(os),
            installer_reboots=max((int(count) for count in reboots if count.isdecimal()), default=1),
        ),
        without=without,
        parents=tuple(parents),
    )


def _memory_mb(os: ET.Element) -> int:
    """The least that it needs on a PC: what is said of x86_64 before what is said of all."""
    by_architecture = {
        resources.get("arch", "all"): resources.findtext("minimum/ram", "")
        for resources in os.iterfind("resources")
    }
    for architecture in ("x86_64", "all"):
        if (text := by_architecture.get(architecture, "")).isdecimal():
            return int(text) // MIB
    return 0
