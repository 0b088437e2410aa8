"""The setting `disks`: where each disk of a template will lie. Pure.

Each entry is about the template's disk of that `template_name`; of several with one name, they are taken in turn.
Disks that nothing is said of are as proposed. One refusal a disk: the first thing that is wrong with it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from oms.agent.given import whole_number
from oms.agent.kvm.domain_xml import PREFIXES, Bus, Chipset
from oms.agent.templates import proposal
from oms.agent.templates.appliance import PackedDisk
from oms.agent.templates.proposal import Case, Conditions
from oms.agent.templates.words import Refused, one_of, shown
from oms.contract.kvm.templates import DiskRefusal, TemplateDisk
from oms.contract.types import FileName

SECTOR: Final = 512
_DEVICE = re.compile(r"/dev(?:/[A-Za-z0-9][A-Za-z0-9._+:@-]*)+")
SETTINGS: Final = TemplateDisk.__struct_fields__
BUSES: Final[dict[Chipset, tuple[Bus, ...]]] = {
    "pc": ("virtio", "scsi", "sata", "ide"),
    "q35": ("virtio", "scsi", "sata"),
}
DeployType = Literal["file", "lvm", "physical"]
TYPES: Final[tuple[DeployType, ...]] = ("file", "lvm", "physical")


class ChosenDisk(msgspec.Struct, frozen=True):
    """A disk of the new machine, made of the template's disk of that number (from 0)."""

    number: int
    deploy_type: DeployType
    place: str
    """The image's name, or the device's path."""
    target: str
    bus: Bus
    size_bytes: int


def judged_disks(given: Any, case: Case) -> tuple[ChosenDisk, ...]:
    """The disks that were chosen. Raises Refused, with a list of those that are refused."""
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        raise Refused([DiskRefusal("", f"Disks are a list of settings for each; got {shown(given)}")])
    entries, refusals = _by_disk(given, case)
    named = {entry["target_dev"] for entry in entries.values() if isinstance(entry.get("target_dev"), str)}
    buses = BUSES[case.appliance.chipset]
    chosen: list[ChosenDisk] = []
    for number, (disk, proposed) in enumerate(zip(case.appliance.disks, proposal.disks(case), strict=True)):
        entry = {**msgspec.to_builtins(proposed), "target_dev": "", **entries.get(number, {})}
        try:
            chosen.append(_chosen(number, disk, entry, case.here, chosen, named=named, buses=buses))
        except Refused as refused:
            refusals.append(DiskRefusal(disk.name, str(refused.told)))
    if refusals:
        raise Refused(refusals)
    return tuple(chosen)


def devices_in(settings: Mapping[str, Any]) -> set[str]:
    """The paths of the block devices that settings speak of, to be looked up before they are judged."""
    disks = settings.get("disks")
    paths = (
        (entry.get("source_dev") for entry in disks if isinstance(entry, dict)) if isinstance(disks, list) else ()
    )
    return {path for path in paths if isinstance(path, str) and _DEVICE.fullmatch(path)}


def _by_disk(given: list[dict[str, Any]], case: Case) -> tuple[dict[int, dict[str, Any]], list[DiskRefusal]]:
    """What is said of each disk, by its number, and what is said of none."""
    entries: dict[int, dict[str, Any]] = {}
    refusals: list[DiskRefusal] = []
    names = [disk.name for disk in case.appliance.disks]
    for entry in given:
        name = entry.get("template_name")
        number = next((n for n, known in enumerate(names) if known == name and n not in entries), None)
        if number is None:
            there = ", ".join(names) or "none"
            further = "further " if name in names else ""
            why = f"The template has no {further}disk of that name; its disks are: {there}"
            refusals.append(DiskRefusal(str(name)[:200] if isinstance(name, str) else shown(name), why))
        else:
            entries[number] = entry
    return entries, refusals


def _chosen(
    number: int,
    disk: PackedDisk,
    entry: Mapping[str, Any],
    here: Conditions,
    others: list[ChosenDisk],
    *,
    named: set[str],
    buses: tuple[Bus, ...],
) -> ChosenDisk:
    if unknown := sorted(str(key) for key in entry.keys() - set(SETTINGS)):
        raise Refused(f"A disk has no setting {unknown[0][:40]}; it has {', '.join(SETTINGS)}")
    kind = one_of("deploy_type", entry["deploy_type"], TYPES)
    one_of("device", entry["device"], ("disk",))
    if entry["type"] not in ("file", "block"):
        raise Refused(f"type must be {'file' if kind == 'file' else 'block'}, got {shown(entry['type'])}")
    bus = one_of("target_bus", entry["target_bus"], buses)
    size = _size(disk, entry["capacity"], here)
    return ChosenDisk(
        number=number,
        deploy_type=kind,
        place=_file(entry, here, others) if kind == "file" else _device(entry, kind, size, here, others),
        target=_target(entry["target_dev"], bus, {other.target for other in others}, named),
        bus=bus,
        size_bytes=size,
    )


def _size(disk: PackedDisk, value: Any, here: Conditions) -> int:
    least, most = disk.capacity_bytes, proposal.most_bytes(disk, here)
    number = whole_number(value) if isinstance(value, str | int) else None
    if number is None or not least <= number <= most:
        raise Refused(f"capacity must be between {least} and {most} bytes, got {shown(value)}")
    return -(-number // SECTOR) * SECTOR


def _file(entry: Mapping[str, Any], here: Conditions, others: list[ChosenDisk]) -> str:
    name = entry["source_file"]
    try:
        name = msgspec.convert(name, FileName)
    except msgspec.ValidationError:
        raise Refused(
            f"source_file must be a bare name of letters, digits and . _ + -, got {shown(name)}"
        ) from None
    if name in here.taken or any(other.place == name for other in others):
        raise Refused(f"There is an image {name} already: choose another source_file")
    return str(name)


def _device(
    entry: Mapping[str, Any], kind: DeployType, size: int, here: Conditions, others: list[ChosenDisk]
) -> str:
    path = entry.get("source_dev")
    if not isinstance(path, str):
        raise Refused(f"With the deploy_type {kind}, source_dev must be the device's path, got {shown(path)}")
    device = here.devices.get(path)
    if device is None or device.why_not:
        raise Refused(device.why_not if device else f"{shown(path)} is no device that OMS may write to")
    if any(other.place == path for other in others):
        raise Refused(f"{path} is another disk's already")
    if device.size_bytes < size:
        raise Refused(f"{path} has {device.size_bytes} bytes; the disk needs {size}")
    return path


def _target(value: Any, bus: Bus, used: set[str], named: set[str]) -> str:
    """The disk's name in the machine; where none is given, the first that no other disk has or is given."""
    if value == "":
        names = proposal.targets([bus] * (len(used | named) + 1))
        value = next(name for name in names if name not in used | named)
    prefix = PREFIXES[bus]
    last = "d" if bus == "ide" else "z"
    if not isinstance(value, str) or not re.fullmatch(rf"{prefix}[a-{last}]", value):
        raise Refused(f"target_dev on the bus {bus} must be {prefix}a to {prefix}{last}, got {shown(value)}")
    if value in used:
        raise Refused(f"target_dev {value} is another disk's already")
    return value
