"""What is proposed for a machine that is made of a template: its own settings, in the host's limits. Pure.

What the template declares is narrowed by what the host can give now. Where the two do not meet, the least that the
template needs is more than the most that the host has, and both are told as they are.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from oms.agent.given import KB_PER_MB
from oms.agent.kvm import limits
from oms.agent.kvm.domain_xml import PREFIXES, Bus, target
from oms.agent.kvm.network import Network
from oms.agent.templates.appliance import Amount, Appliance, PackedDisk
from oms.contract.kvm.templates import (
    TemplateDisk,
    TemplateGraphics,
    TemplateInterface,
    TemplatePort,
    TemplateSettings,
)

KVM: Final = "kvm"
"""What tells these machines from containers, however they are run."""
HVM: Final = "hvm"
ARCH: Final = "x86_64"
PORT: Final = TemplatePort(type="pty", target_port="0")
NO_NETWORK: Final = TemplateInterface(type="none", source_bridge="")
VNC: Final = "vnc"
FOUND_BY_ITSELF: Final = {"port": "-1", "autoport": "yes"}
COPY: Final = "copy"


class Range(msgspec.Struct, frozen=True):
    """A quantity, and both ends of what is legal."""

    normal: int
    least: int
    most: int


class Device(msgspec.Struct, frozen=True):
    """A block device that a disk is to be written to. `why_not`: why it may not be; "" where it may."""

    size_bytes: int
    why_not: str = ""


class Conditions(msgspec.Struct, frozen=True):
    """What this host has for a new machine now. `taken` are the names of images that are there."""

    limits: limits.Limits
    emulator: str
    network: Network | None
    bridges: frozenset[str]
    networks: frozenset[str]
    keymaps: frozenset[str]
    free_bytes: int
    taken: frozenset[str]
    devices: dict[str, Device] = {}
    """Those that were asked for, by path."""


class Case(msgspec.Struct, frozen=True):
    """A template, the machine that is to come of it, and where."""

    template: str
    machine: str
    appliance: Appliance
    here: Conditions

    @property
    def vcpus(self) -> Range:
        """CPUs, with the limits of both."""
        return _narrowed(self.appliance.vcpus, self.here.limits.min_vcpus, self.here.limits.max_vcpus)

    @property
    def memory_mb(self) -> Range:
        """The same for memory."""
        return _narrowed(self.appliance.memory_mb, self.here.limits.min_memory_mb, self.here.limits.max_memory_mb)


def settings(case: Case) -> TemplateSettings:
    """The answer of `parse_template_for_vm`."""
    appliance = case.appliance
    return TemplateSettings(
        template_name=case.template,
        vm_name=case.machine,
        domain_type=KVM,
        virt_type=HVM,
        memory=str(case.memory_mb.normal),
        arch=ARCH,
        vcpu=str(case.vcpus.normal),
        boot_dev=appliance.boot,
        features=list(appliance.features),
        clock_offset=appliance.clock,
        emulator=case.here.emulator,
        on_poweroff=appliance.on_poweroff,
        on_reboot=appliance.on_reboot,
        on_crash=appliance.on_crash,
        interface=interface(case),
        serial=PORT,
        console=PORT,
        mouse_bus=appliance.mouse,
        graphics=TemplateGraphics(type=VNC, **FOUND_BY_ITSELF, keymap=appliance.keymap),
        disks=disks(case),
        min_memory=str(case.memory_mb.least),
        max_memory=str(case.memory_mb.most),
        min_vcpu=str(case.vcpus.least),
        max_vcpu=str(case.vcpus.most),
        clone=COPY,
        hostname="",
        passwd="",
        ssh_keys=[],
        ip_address="",
        gateway="",
        nameserver="",
        user_data="",
    )


def interface(case: Case) -> TemplateInterface:
    """On the bridge that is called as the template calls its network, if there is one; else on the usual one."""
    if not case.appliance.nics:
        return NO_NETWORK
    if (wanted := case.appliance.nics[0].network) in case.here.bridges:
        return TemplateInterface(type="bridge", source_bridge=wanted)
    usual = case.here.network
    return NO_NETWORK if usual is None else TemplateInterface(type=usual.kind, source_bridge=usual.name)


def disks(case: Case) -> list[TemplateDisk]:
    """Each disk as a file of its own among the images."""
    names = _free_names(case.machine, case.here.taken)
    places = targets([disk.bus for disk in case.appliance.disks])
    return [
        TemplateDisk(
            template_name=disk.name,
            template_format=disk.format,
            template_capacity=str(disk.capacity_bytes),
            deploy_type="file",
            type="file",
            device="disk",
            source_file=next(names),
            target_dev=place,
            target_bus=disk.bus,
            capacity=str(disk.capacity_bytes),
            min_capacity=str(disk.capacity_bytes),
            max_capacity=str(most_bytes(disk, case.here)),
        )
        for disk, place in zip(case.appliance.disks, places, strict=True)
    ]


def most_bytes(disk: PackedDisk, here: Conditions) -> int:
    """How large a disk in a file may be made: what the host could write in full, if it came to that. What the
    template has is legal in any case, since a file takes no more than is in it."""
    return max(disk.capacity_bytes, here.free_bytes // KB_PER_MB**2 * KB_PER_MB**2)


def targets(buses: list[Bus]) -> list[str]:
    """A name in the machine for each drive, as in `vda`, `vdb`, `sda`."""
    used = dict.fromkeys(PREFIXES.values(), 0)
    found = []
    for bus in buses:
        found.append(target(bus, used[PREFIXES[bus]]))
        used[PREFIXES[bus]] += 1
    return found


def _free_names(machine: str, taken: frozenset[str]) -> Iterator[str]:
    """`vm1.qcow2`, `vm1-2.qcow2`, ..., those left out that are taken."""
    number = 1
    while True:
        name = f"{machine}.qcow2" if number == 1 else f"{machine}-{number}.qcow2"
        if name not in taken:
            yield name
        number += 1


def _narrowed(amount: Amount, least: int, most: int) -> Range:
    return Range(
        amount.normal,
        least if amount.least is None else max(amount.least, least),
        most if amount.most is None else min(amount.most, most),
    )
