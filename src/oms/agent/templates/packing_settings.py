"""Settings of a template that is made of a machine: what is proposed, which are refused, and what they come to.

Pure.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec

from oms.agent.given import KB_PER_MB, whole_number
from oms.agent.guests import Definition, Disk
from oms.agent.kvm.domain_xml import Bus, NicModel
from oms.agent.templates import proposal
from oms.agent.templates.appliance import Amount, Appliance, PackedDisk, PackedFile, PackedNic
from oms.agent.templates.words import Refused, one_of, shown
from oms.contract.kvm.templates import TemplateRefusals, VmDisk, VmForTemplate, VmInterface
from oms.contract.types import DiskFormat

PackedFormat = Literal["vmdk", "qcow2"]
FORMATS: Final[tuple[PackedFormat, ...]] = ("vmdk", "qcow2")
MOST: Final = {"vcpu": 4096, "memory": 2**40}
LONGEST_DESCRIPTION: Final = 4096
LISTS: Final = ("interfaces", "disks")
"""What is shown, and is as the machine has it."""


class Source(msgspec.Struct, frozen=True):
    """A disk of the machine: where it lies, and how large it is in bytes: the disk, and what its file takes."""

    target: str
    path: Path
    format: DiskFormat
    bus: str
    disk_bytes: int
    file_bytes: int


class Choice(msgspec.Struct, frozen=True):
    """A template as it was asked for."""

    vcpus: Amount
    memory_mb: Amount
    format: PackedFormat
    description: str


def packable(disk: Disk) -> DiskFormat | None:
    """The format of a disk that can be packed; None for CDs, and for what is no file or device of this host."""
    if disk.device not in ("disk", "lun") or disk.read_only or not disk.sources:
        return None
    return "qcow2" if disk.format == "qcow2" else "raw" if disk.format in ("raw", "") else None


def proposed(
    machine: str, definition: Definition, template: str, sources: list[Source], templates: Path
) -> VmForTemplate:
    """The answer of `parse_vm_for_template`."""
    memory_mb = str(definition.memory_kb // KB_PER_MB)
    return VmForTemplate(
        vm_name=machine,
        vcpu=str(definition.vcpus),
        min_vcpu="1",
        template_name=template,
        interfaces=[VmInterface(nic.source, nic.kind, nic.mac) for nic in definition.nics],
        disks=[
            VmDisk(
                disk_capacity=str(source.disk_bytes),
                new_path=str(templates / f"{template}.ova"),
                disk_id=f"vmdisk{number}",
                filename=file_name(template, number, "vmdk"),
                file_id=f"file{number}",
                disk_path=str(source.path),
                file_size=str(source.file_bytes),
            )
            for number, source in enumerate(sources, 1)
        ],
        domain_type=proposal.KVM,
        memory=memory_mb,
        min_memory=memory_mb,
        arch=proposal.ARCH,
        max_vcpu="",
        max_memory="",
        disk_format=FORMATS[0],
        description="",
    )


def file_name(template: str, number: int, packing: PackedFormat) -> str:
    """The name of a disk in the package."""
    return f"{template}-disk{number}.{packing}"


def judged(given: Mapping[str, Any], shown_before: VmForTemplate) -> Choice | TemplateRefusals:
    """What was chosen, or every refused setting with a text that says what is legal."""
    before: dict[str, Any] = msgspec.to_builtins(shown_before)
    values: dict[str, Any] = {**before, **given}
    refusals: TemplateRefusals = {}
    for name in ("vm_name", "template_name", "domain_type", "arch"):
        _try(refusals, name, lambda name=name: one_of(name, values[name], (before[name],)))
    for name in LISTS:
        if not isinstance(values[name], list):
            refusals[name] = (
                f"{name} is the list that parse_vm_for_template answers; they are as the machine has them"
            )
    vcpus = amount(values, refusals, "vcpu", "")
    memory_mb = amount(values, refusals, "memory", " MB")
    packing = _try(refusals, "disk_format", lambda: one_of("disk_format", values["disk_format"], FORMATS))
    text = values["description"]
    if (
        not isinstance(text, str)
        or len(text) > LONGEST_DESCRIPTION
        or not (text + " ").replace("\n", "").isprintable()
    ):
        refusals["description"] = f"A description is a text of at most {LONGEST_DESCRIPTION} characters"
    for name in sorted(given.keys() - before.keys()):
        refusals[name[:64]] = f"There is no such setting; there are {', '.join(before)}"
    if refusals or vcpus is None or memory_mb is None or packing is None:
        return refusals
    return Choice(vcpus, memory_mb, packing, text)


def appliance(
    template: str, definition: Definition, choice: Choice, sources: list[Source], file_sizes: list[int]
) -> Appliance:
    """The template's description, when its files are there."""
    files = [
        PackedFile(file_name(template, number, choice.format), size) for number, size in enumerate(file_sizes, 1)
    ]
    return Appliance(
        name=template,
        vcpus=choice.vcpus,
        memory_mb=choice.memory_mb,
        disks=tuple(
            PackedDisk(f"vmdisk{number}", file, source.disk_bytes, choice.format, _bus(source.bus))
            for number, (file, source) in enumerate(zip(files, sources, strict=True), 1)
        ),
        nics=tuple(PackedNic(nic.source, _model(nic.model)) for nic in definition.nics),
        files=tuple(files),
        description=choice.description,
    )


def amount(values: Mapping[str, Any], refusals: TemplateRefusals, name: str, unit: str) -> Amount | None:
    """A quantity with its limits, each of which may be left out."""
    found: dict[str, int | None] = {}
    for key, least in ((f"min_{name}", 1), (name, 1), (f"max_{name}", 1)):
        value = values[key]
        if value == "" and key != name:
            found[key] = None
            continue
        number = whole_number(value) if isinstance(value, str | int) else None
        if number is None or not least <= number <= MOST[name]:
            refusals[key] = f"{key} must be between {least} and {MOST[name]}{unit}, got {shown(value)}"
        found[key] = number
    normal, least_of, most_of = found[name], found[f"min_{name}"], found[f"max_{name}"]
    if normal is not None and ((least_of or 1) > normal or (most_of or normal) < normal):
        refusals.setdefault(name, f"{name} must be between min_{name} and max_{name}, got {normal}{unit}")
    return None if normal is None else Amount(normal, least_of, most_of)


def _try(refusals: TemplateRefusals, name: str, judge: Any) -> Any:
    try:
        return judge()
    except Refused as refused:
        refusals[name] = refused.told
        return None


def _bus(name: str) -> Bus:
    return next((bus for bus in get_args(Bus) if bus == name), "sata")


def _model(name: str) -> NicModel:
    return next((model for model in get_args(NicModel) if model == name), "virtio")
