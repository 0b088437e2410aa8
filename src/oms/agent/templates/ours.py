"""Our own section of an .ovf: what OVF has no words for, and no other product needs to know. Pure.

    <oms:TemplateSection xmlns:oms="urn:opennode-oms:template:1" ovf:required="false">
      <Info>...</Info>
      <oms:Machine chipset="q35" features="acpi apic" .../>   fields of `Appliance`
      <oms:Limits min_vcpu="1" max_vcpu="4" min_memory="256" max_memory="4096"/>   MB
      <oms:Disk id="vmdisk1" bus="virtio"/>
      <oms:Nic model="virtio"/>   one for each, in their order
    </oms:TemplateSection>

Limits stand here and not in items with ovf:bound because other products take such items for further CPUs.
"""

import xml.etree.ElementTree as ET
from typing import Any, Final

import msgspec

from oms.agent.templates.appliance import Amount, Appliance, BadPackage, PackedDisk, PackedNic
from oms.agent.templates.vocabulary import OPENNODE, OURS, OVF

SECTION: Final = f"{{{OURS}}}TemplateSection"
INFO: Final = "What OpenNode Management Server keeps of the machine; others may ignore it"
FIELDS: Final = (
    "arch", "chipset", "firmware", "clock", "boot", "on_poweroff", "on_reboot", "on_crash", "mouse", "keymap",
)  # fmt: skip
LONGEST = 64


def applied(appliance: Appliance, system: ET.Element) -> Appliance:
    """The appliance with what its `<VirtualSystem>` says in our own section, or in OpenNode's of 2010. Raises
    BadPackage."""
    section = system.find(SECTION)
    if section is None:
        return _with(appliance, features=_opennode(system) or appliance.features)
    machine, limits = section.find(f"{{{OURS}}}Machine"), section.find(f"{{{OURS}}}Limits")
    disks = {disk.get("id", ""): disk.get("bus", "") for disk in section.iterfind(f"{{{OURS}}}Disk")}
    models = [nic.get("model", "") for nic in section.iterfind(f"{{{OURS}}}Nic")]
    if machine is not None:
        known = {name: machine.attrib[name] for name in FIELDS if name in machine.attrib}
        appliance = _with(appliance, **known, features=machine.get("features", "").split())
    return _with(
        appliance,
        vcpus=_limited(appliance.vcpus, limits, "vcpu"),
        memory_mb=_limited(appliance.memory_mb, limits, "memory"),
        disks=[_on_bus(disk, disks.get(disk.id, "")) for disk in appliance.disks],
        nics=[
            _of_model(nic, model)
            for nic, model in zip(appliance.nics, models + [""] * len(appliance.nics), strict=False)
        ],
    )


def section(appliance: Appliance) -> ET.Element:
    """Our section for an appliance."""
    made = ET.Element(SECTION, {f"{{{OVF}}}required": "false"})
    ET.SubElement(made, f"{{{OVF}}}Info").text = INFO
    values = {name: getattr(appliance, name) for name in FIELDS}
    machine = {name: value for name, value in values.items() if value}
    ET.SubElement(made, f"{{{OURS}}}Machine", {**machine, "features": " ".join(appliance.features)})
    limits = {**_limits(appliance.vcpus, "vcpu"), **_limits(appliance.memory_mb, "memory")}
    if limits:
        ET.SubElement(made, f"{{{OURS}}}Limits", limits)
    for disk in appliance.disks:
        ET.SubElement(made, f"{{{OURS}}}Disk", {"id": disk.id, "bus": disk.bus})
    for nic in appliance.nics:
        ET.SubElement(made, f"{{{OURS}}}Nic", {"model": nic.model})
    return made


def _with(appliance: Appliance, **values: Any) -> Appliance:
    """The appliance with other values, which are checked against the types of its fields."""
    fields = {**msgspec.to_builtins(appliance), **{k: msgspec.to_builtins(v) for k, v in values.items()}}
    try:
        made = msgspec.convert(fields, Appliance)
    except msgspec.ValidationError as wrong:
        raise BadPackage(f"the section of OpenNode Management Server in its .ovf is not legal: {wrong}") from wrong
    if not all(len(text) <= LONGEST for text in (made.arch, made.keymap)):
        raise BadPackage(f"a word in the section of OpenNode Management Server has more than {LONGEST} characters")
    return made


def _opennode(system: ET.Element) -> list[str]:
    """The features that OpenNode's templates of 2010 name."""
    return [
        feature.tag.rpartition("}")[2]
        for section in system.iterfind(f"{{{OPENNODE}}}OpenNodeSection")
        for part in section.iter()
        for feature in (part if part.tag.endswith("}Features") else ())
    ]


def _limited(amount: Amount, limits: ET.Element | None, name: str) -> Amount:
    if limits is None:
        return amount
    least, most = (limits.get(f"{end}_{name}") for end in ("min", "max"))
    return Amount(
        amount.normal,
        amount.least if least is None else _whole(least),
        amount.most if most is None else _whole(most),
    )


def _limits(amount: Amount, name: str) -> dict[str, str]:
    ends = (("min", amount.least), ("max", amount.most))
    return {f"{end}_{name}": str(value) for end, value in ends if value is not None}


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadPackage(f"a limit in its .ovf is {text[:LONGEST]!r}, which is no whole number")
    return int(text)


def _on_bus(disk: PackedDisk, bus: str) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(disk)
    return {**built, "bus": bus} if bus else built


def _of_model(nic: PackedNic, model: str) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(nic)
    return {**built, "model": model} if model else built
