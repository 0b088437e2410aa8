"""From what was chosen to what is made: the machine, and where each of its disks comes from and goes to. Pure."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from oms.agent.guests import DomainType
from oms.agent.kvm import domain_xml, seeds
from oms.agent.kvm.domain_xml import Bus, Chipset, NewDrive, NewMachine, NewNic, Vnc
from oms.agent.templates import seed, unpacking
from oms.agent.templates.appliance import Appliance
from oms.agent.templates.disk_settings import ChosenDisk, DeployType
from oms.agent.templates.judging import Choice

CD_BUSES: Final[dict[Chipset, Bus]] = {"pc": "ide", "q35": "sata"}


class NewDisk(msgspec.Struct, frozen=True):
    """A disk that is to be made: of `source`, the template's, in a file or on a device at `path`."""

    source: str
    path: str
    deploy_type: DeployType
    size_bytes: int
    grown: bool
    """It becomes larger than the template's."""


class Plan(msgspec.Struct, frozen=True):
    """What a job has set out to make, so that every run of it makes the same."""

    key: str
    """The content of the template that it is made of."""
    machine: NewMachine
    disks: tuple[NewDisk, ...]
    linked: bool
    seed_path: str
    seed: dict[str, str]
    """The files that tell the guest of its settings; none where there is nothing to tell."""


class Identity(msgspec.Struct, frozen=True):
    """What is the machine's alone. One MAC address for each network interface."""

    uuid: str
    name: str
    macs: tuple[str, ...]


def plan(
    choice: Choice,
    appliance: Appliance,
    who: Identity,
    *,
    key: str,
    domain_type: DomainType,
    unpacked: Path,
    images: Path,
) -> Plan:
    """What is to be made."""
    disks = tuple(
        NewDisk(
            source=str(unpacking.disk_path(unpacked, disk.number)),
            path=str(images / disk.place) if disk.deploy_type == "file" else disk.place,
            deploy_type=disk.deploy_type,
            size_bytes=disk.size_bytes,
            grown=disk.size_bytes > appliance.disks[disk.number].capacity_bytes,
        )
        for disk in choice.disks
    )
    drives = [_drive(chosen, disk, linked=choice.linked) for chosen, disk in zip(choice.disks, disks, strict=True)]
    nics = _nics(choice, appliance, who)
    told: dict[str, str] = {}
    seed_path = str(seeds.path_of(images, who.uuid))
    if choice.guest:
        told = seed.contents(choice.guest, who.uuid, nics[0].mac if nics else "")
        drives.append(_cd(seed_path, appliance.chipset, drives))
    return Plan(
        key=key,
        machine=_machine(choice, appliance, who, domain_type, drives=tuple(drives), nics=nics),
        disks=disks,
        linked=choice.linked,
        seed_path=seed_path,
        seed=told,
    )


def _machine(
    choice: Choice,
    appliance: Appliance,
    who: Identity,
    domain_type: DomainType,
    *,
    drives: tuple[NewDrive, ...],
    nics: tuple[NewNic, ...],
) -> NewMachine:
    return NewMachine(
        uuid=who.uuid,
        name=who.name,
        domain_type=domain_type,
        vcpus=choice.vcpus,
        memory_mb=choice.memory_mb,
        chipset=appliance.chipset,
        firmware=appliance.firmware,
        acpi="acpi" in choice.features,
        apic="apic" in choice.features,
        pae="pae" in choice.features,
        clock=choice.clock,
        boot=(choice.boot,),
        on_poweroff=choice.on_poweroff,
        on_reboot=choice.on_reboot,
        on_crash=choice.on_crash,
        drives=drives,
        nics=nics,
        graphics=None if choice.keymap is None else Vnc(choice.keymap),
        tablet=choice.mouse == "usb",
    )


def _drive(chosen: ChosenDisk, disk: NewDisk, *, linked: bool) -> NewDrive:
    kind: Literal["file", "block"] = "file" if chosen.deploy_type == "file" else "block"
    return NewDrive(
        source=disk.path,
        target=chosen.target,
        bus=chosen.bus,
        kind=kind,
        format="qcow2" if kind == "file" else "raw",
        stands_on=disk.source if linked else "",
    )


def _cd(path: str, chipset: Chipset, drives: list[NewDrive]) -> NewDrive:
    """In the first place that no disk has."""
    bus = CD_BUSES[chipset]
    used = {drive.target for drive in drives}
    names = (domain_xml.target(bus, number) for number in range(len(drives) + 1))
    return NewDrive(path, next(name for name in names if name not in used), bus, device="cdrom")


def _nics(choice: Choice, appliance: Appliance, who: Identity) -> tuple[NewNic, ...]:
    if (network := choice.network) is None:
        return ()
    return tuple(
        NewNic(network.kind, network.name, mac, nic.model)
        for nic, mac in zip(appliance.nics, who.macs, strict=True)
    )
