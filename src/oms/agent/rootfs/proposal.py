"""Settings of a container that is made of a template: what is proposed, what is refused, what they come to. Pure.

What the template declares is narrowed by what the host can give now. Whatever `parse_template_for_vm` answers is
accepted again as it is, names and limits included.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from oms.agent.given import KB_PER_MB, whole_number
from oms.agent.guests.containers import ContainerSettings
from oms.agent.ovz import limits
from oms.agent.ovz.limits import Limits
from oms.agent.ovz.taken import Taken, Wish
from oms.agent.templates.appliance import Amount
from oms.contract.ovz import Refusals
from oms.contract.ovz.templates import ContainerTemplateSettings

OPENVZ: Final = "openvz"
"""What tells containers from machines, however they are run."""
USUAL_MEMORY_MB, USUAL_VCPUS = 512, 1
FIRST_ID, LARGEST_ID = 101, 2**31 - 1
ECHOED: Final = tuple(
    f"{end}_{name}" for name in ("memory", "vcpu", "vcpulimit", "disk") for end in ("min", "max")
)
"""What is answered beside the settings, and may come back, whatever it was then."""
FIXED: Final = ("template_name", "vm_name", "domain_type")
OWN: Final = ("vm_id", *FIXED)
Given = Mapping[str, str | int]
NOTHING: Final = Amount(0)


class Conditions(msgspec.Struct, frozen=True):
    """What this host has for a new container now, and what of it others have."""

    limits: Limits
    nameserver: str
    taken: Taken


class Case(msgspec.Struct, frozen=True):
    """A template, the container that is to come of it, and where. Amounts that the template does not declare are
    NOTHING; `needed_mb` is what its files take."""

    template: str
    name: str
    vcpus: Amount
    memory_mb: Amount
    needed_mb: int
    here: Conditions

    @property
    def limits(self) -> Limits:
        """Those of both. The least may be above the most."""
        host = self.here.limits
        return msgspec.structs.replace(
            host,
            min_vcpus=max(host.min_vcpus, self.vcpus.least or 0),
            max_vcpus=min(host.max_vcpus, self.vcpus.most or host.max_vcpus),
            min_memory_mb=max(host.min_memory_mb, self.memory_mb.least or 0),
            max_memory_mb=min(host.max_memory_mb, self.memory_mb.most or host.max_memory_mb),
            min_disk_mb=max(host.min_disk_mb, self.needed_mb) if host.max_disk_mb else 0,
        )


class Choice(msgspec.Struct, frozen=True):
    """A container as it was asked for."""

    ctid: str
    settings: ContainerSettings

    @property
    def wish(self) -> Wish:
        """What no other container may have."""
        return Wish(self.ctid, self.settings.hostname, self.settings.addresses)


def settings(case: Case) -> ContainerTemplateSettings:
    """The answer of `parse_template_for_vm`."""
    legal = case.limits
    disk = _within(legal.usual_disk_mb, legal.min_disk_mb, legal.max_disk_mb) if legal.usual_disk_mb else 0
    memory = _within(case.memory_mb.normal or USUAL_MEMORY_MB, legal.min_memory_mb, legal.max_memory_mb)
    return ContainerTemplateSettings(
        template_name=case.template,
        vm_name=case.name,
        vm_id=free_id(case.here.taken.ids),
        domain_type=OPENVZ,
        memory=str(memory),
        min_memory=str(legal.min_memory_mb),
        max_memory=str(legal.max_memory_mb),
        vcpu=str(_within(case.vcpus.normal or USUAL_VCPUS, legal.min_vcpus, legal.max_vcpus)),
        min_vcpu=str(legal.min_vcpus),
        max_vcpu=str(legal.max_vcpus),
        vcpulimit="0",
        min_vcpulimit="0",
        max_vcpulimit=str(legal.max_vcpulimit),
        disk=str(disk),
        min_disk=str(legal.min_disk_mb),
        max_disk=str(legal.max_disk_mb),
        ip_address="",
        nameserver=case.here.nameserver,
        passwd="",
        searchdomain="",
        onboot="no",
    )


def free_id(taken: frozenset[str]) -> str:
    """The first number that no container has."""
    return next(str(number) for number in range(FIRST_ID, LARGEST_ID) if str(number) not in taken)


def judged(given: Given, case: Case) -> Choice | Refusals:
    """What was chosen, or every refused setting with a text that says what is legal."""
    legal, proposed = case.limits, settings(case)
    values: dict[str, str | int] = {**msgspec.structs.asdict(proposed), **given}
    wanted = {
        name: value
        for name, value in values.items()
        if name not in (*OWN, *ECHOED) and not (name in ("passwd", "password", "hostname") and value == "")
    }
    refusals = limits.refused(wanted, legal)
    refusals |= _unmet(legal, wanted)
    for name, text in {**_strict(wanted, case), **_own(values, proposed, case)}.items():
        refusals.setdefault(name, text)
    theirs = Wish(hostname=str(wanted.get("hostname", "")), addresses=tuple(str(wanted["ip_address"]).split()))
    for name, text in case.here.taken.refusals(theirs).items():
        refusals.setdefault(name, text)
    if refusals:
        return {name[:64]: text for name, text in refusals.items()}
    change = limits.wanted(wanted)
    return Choice(
        ctid=str(values["vm_id"]),
        settings=ContainerSettings(
            hostname=change.hostname or case.name,
            memory_kb=change.memory_kb or 0,
            swap_kb=change.swap_kb or 0,
            vcpus=change.vcpus or 0,
            vcpulimit=change.vcpulimit or 0,
            disk_kb=change.disk_kb or 0,
            addresses=change.addresses or (),
            nameservers=change.nameservers or (),
            searchdomains=change.searchdomains or (),
            onboot=bool(change.onboot),
        ),
    )


def _unmet(legal: Limits, wanted: Given) -> Refusals:
    """What the template needs and the host does not have; a disk of any size is made where there is room."""
    pairs = {
        "memory": ("Memory", legal.min_memory_mb, legal.max_memory_mb, " MB"),
        "vcpu": ("Virtual CPU count", legal.min_vcpus, legal.max_vcpus, ""),
        "disk": ("Disk size", legal.min_disk_mb, legal.max_disk_mb, " MB"),
    }
    return {
        name: f"{noun}: the template needs {least}{unit} at least, this host can give {most}{unit}"
        for name, (noun, least, most, unit) in pairs.items()
        if least > most and not (name == "disk" and whole_number(wanted["disk"]) == 0)
    }


def _strict(wanted: Given, case: Case) -> Refusals:
    """No limit is more than the most that a template allows."""
    most = case.memory_mb.most
    if most and whole_number(wanted["memory"]) == 0:
        return {"memory": f"Memory must be between {case.limits.min_memory_mb} and {most} MB, got no limit"}
    return {}


def _own(values: Given, proposed: ContainerTemplateSettings, case: Case) -> Refusals:
    refusals = {
        name: f"{name} must be {getattr(proposed, name)!r}, as in the call"
        for name in FIXED
        if values[name] != getattr(proposed, name)
    }
    number = whole_number(values["vm_id"])
    if number is None or not 1 <= number <= LARGEST_ID:
        refusals["vm_id"] = f"A container's id must be a whole number from 1 to {LARGEST_ID}"
    elif str(number) in case.here.taken.ids:
        refusals["vm_id"] = f"There is a container {number} already; the next free id is {proposed.vm_id}"
    elif str(number) != str(values["vm_id"]):
        refusals["vm_id"] = f"A container's id must be written as {number}"
    return refusals


def _within(number: int, least: int, most: int) -> int:
    return max(least, min(number, most))


def needed_mb(needed_bytes: int) -> int:
    """Room for so much on a file system of its own: a tenth is for what it keeps itself."""
    return -(-needed_bytes * 11 // 10 // (KB_PER_MB * 1024)) + 16
