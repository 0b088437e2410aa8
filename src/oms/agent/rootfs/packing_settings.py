"""Settings of a template that is made of a container: what is proposed, what is refused, what is said in it."""

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from oms.agent.given import KB_PER_MB
from oms.agent.guests.containers import ContainerSettings
from oms.agent.rootfs.proposal import OPENVZ, USUAL_MEMORY_MB
from oms.agent.templates import ovf_writing
from oms.agent.templates.appliance import Amount, Appliance
from oms.agent.templates.packing_settings import LONGEST_DESCRIPTION, amount
from oms.contract.kvm.templates import TemplateRefusals
from oms.contract.ovz import Refusals
from oms.contract.ovz.templates import ContainerForTemplate

FIXED: Final = ("vm_id", "template_name", "domain_type")


class Choice(msgspec.Struct, frozen=True):
    """A template as it was asked for."""

    vcpus: Amount
    memory_mb: Amount
    description: str


def proposed(ctid: str, settings: ContainerSettings, template: str, cpus: int) -> ContainerForTemplate:
    """The answer of `parse_vm_for_template`; `cpus` are the host's. What is not limited is as usual."""
    memory = str(settings.memory_kb // KB_PER_MB or USUAL_MEMORY_MB)
    return ContainerForTemplate(
        vm_id=ctid,
        template_name=template,
        domain_type=OPENVZ,
        vcpu=str(settings.vcpus or cpus),
        min_vcpu="1",
        memory=memory,
        min_memory=memory,
        max_vcpu="",
        max_memory="",
        description="",
    )


def judged(given: Mapping[str, Any], shown_before: ContainerForTemplate) -> Choice | Refusals:
    """What was chosen, or every refused setting with a text that says what is legal."""
    before: dict[str, Any] = msgspec.to_builtins(shown_before)
    values: dict[str, Any] = {**before, **given}
    found: TemplateRefusals = {
        name: f"{name} must be {before[name]!r}, as in the call"
        for name in FIXED
        if str(values[name]) != before[name]
    }
    vcpus = amount(values, found, "vcpu", "")
    memory_mb = amount(values, found, "memory", " MB")
    text = values["description"]
    if not isinstance(text, str) or len(text) > LONGEST_DESCRIPTION or not text.replace("\n", " ").isprintable():
        found["description"] = f"A description is a text of at most {LONGEST_DESCRIPTION} characters"
    for name in sorted(given.keys() - before.keys()):
        found[name[:64]] = f"There is no such setting; there are {', '.join(before)}"
    if found or vcpus is None or memory_mb is None:
        return {name: str(why) for name, why in found.items()}
    return Choice(vcpus, memory_mb, text)


def descriptor(template: str, choice: Choice) -> bytes:
    """The .ovf that lies in the archive."""
    return ovf_writing.written(
        Appliance(template, choice.vcpus, choice.memory_mb, disks=(), nics=(), description=choice.description)
    )


def metadata(template: str, machine: str) -> bytes:
    """What LXD and Incus ask of an archive that they import: JSON, which YAML is a larger form of."""
    said = {
        "architecture": machine,
        "creation_date": int(time.time()),
        "properties": {"description": template, "name": template, "architecture": machine},
    }
    lines = [f"{name}: {msgspec.json.encode(value).decode()}" for name, value in said.items()]
    return ("\n".join(lines) + "\n").encode()
