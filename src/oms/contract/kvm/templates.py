"""KVMService: templates, which are machines packed up as DMTF's OVF, brought in, deployed and made."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from oms.contract.errors import AlreadyThere, InUse, NoSpace, NotThere, Unusable
from oms.contract.kvm import SERVICE
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.types import VmName, text

TemplateName = Annotated[
    str,
    text(
        r"[A-Za-z0-9][A-Za-z0-9._+-]*",
        "a template's name: letters, digits and . _ + -, first a letter or digit, at most 128 characters",
        128,
        "templatename",
    ),
]


GivenSettings = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Any],
    Meta(
        max_length=64,
        description="settings that replace those of the template, by name, in the form in which "
        "`parse_template_for_vm` answers them; numbers may be text",
        examples=[{}],
    ),
]


class TemplateInterface(msgspec.Struct, frozen=True):
    """What the machine's network interfaces are on: `type` `bridge` or `network` (of libvirt's), or `none`."""

    type: str
    source_bridge: str


class TemplatePort(msgspec.Struct, frozen=True):
    """A serial port or console: `pty`, and its number."""

    type: str
    target_port: str


class TemplateGraphics(msgspec.Struct, frozen=True):
    """The screen: `vnc` or `none`; its port is always found by itself (`-1`, `yes`)."""

    type: str
    port: str
    autoport: str
    keymap: str


class TemplateDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of a template, and where it will lie. Sizes in bytes, as texts.

    `deploy_type` is `file` (then `source_file` is the image that will be made), or `lvm` or `physical` (then
    `source_dev` is the block device that will be written). `capacity` is the size that the machine's disk gets.
    """

    template_name: str
    template_format: str
    template_capacity: str
    deploy_type: Literal["physical", "lvm", "file"]
    type: Literal["block", "file"]
    device: str
    source_dev: str | UnsetType = UNSET
    source_file: str | UnsetType = UNSET
    target_dev: str
    target_bus: str
    capacity: str | UnsetType = UNSET
    min_capacity: str | UnsetType = UNSET
    max_capacity: str | UnsetType = UNSET


class DiskRefusal(msgspec.Struct, frozen=True):
    """Why the settings of a disk were refused."""

    template_name: str
    error: str


TemplateRefusals = dict[str, str | list[DiskRefusal]]
"""Refused settings, each with a text that says what is legal; `disks` has one for each refused disk. `{}`: all was
accepted and done."""


class TemplateSettings(msgspec.Struct, frozen=True):
    """Settings for a machine that is made of a template, with their limits. Memory in MB; the numbers are texts.

    `clone` is `copy`, or `linked` (the disks stand upon the template's). What is for cloud-init in the guest is
    `hostname`, `passwd` (root's password), `ssh_keys`, `ip_address` (as in `192.168.0.5/24`, or `dhcp`),
    `gateway`, `nameserver` and `user_data`; what is left empty is not set.
    """

    template_name: str
    vm_name: str
    domain_type: str
    virt_type: str
    memory: str
    arch: str
    vcpu: str
    boot_dev: str
    features: list[str]
    clock_offset: str
    emulator: str
    on_poweroff: str
    on_reboot: str
    on_crash: str
    interface: TemplateInterface
    serial: TemplatePort
    console: TemplatePort
    mouse_bus: str
    graphics: TemplateGraphics
    disks: list[TemplateDisk]
    min_memory: str | UnsetType = UNSET
    max_memory: str | UnsetType = UNSET
    min_vcpu: str | UnsetType = UNSET
    max_vcpu: str | UnsetType = UNSET
    clone: str | UnsetType = UNSET
    hostname: str | UnsetType = UNSET
    passwd: str | UnsetType = UNSET
    ssh_keys: list[str] | UnsetType = UNSET
    ip_address: str | UnsetType = UNSET
    gateway: str | UnsetType = UNSET
    nameserver: str | UnsetType = UNSET
    user_data: str | UnsetType = UNSET


@operation(SERVICE, Permission.VIEWER)
class ListTemplates(HostOperation[list[str]], frozen=True):
    """List the templates of a host by name."""


@operation(SERVICE, Permission.VIEWER, timeout=60)
class ParseTemplateForVm(HostOperation[TemplateSettings], frozen=True):
    """Settings for a new machine that is made of a template, with what the template and the host allow now.

    The first time, the template's disks are made ready beside; that goes on when this has answered.
    """

    template_name: TemplateName
    kvm_vm_name: VmName


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=300,
    changes=True,
    target="kvm_name",
    raises=(AlreadyThere, NotThere, Unusable, NoSpace, InUse),
)
class DeployTemplateForVm(HostOperation[TemplateRefusals], frozen=True):
    """Make a machine of a template; answers the refused settings, and makes nothing where any is refused.

    Settings are those that `parse_template_for_vm` answers, as they are there or changed; what is left out is as
    proposed there. The machine is off when it has been made. Cancelled, the job leaves nothing.
    """

    template_name: TemplateName
    kvm_name: VmName
    template_settings_dictionary: GivenSettings


class VmInterface(msgspec.Struct, frozen=True):
    """A network interface of a machine."""

    source_bridge: str
    type: str
    mac_address: str


class VmDisk(msgspec.Struct, frozen=True):
    """A disk of a machine, and what it will be in the template. Sizes in bytes, as texts: of the disk, and what
    its file takes now."""

    disk_capacity: str
    new_path: str
    disk_id: str
    filename: str
    file_id: str
    disk_path: str
    file_size: str


class VmForTemplate(msgspec.Struct, frozen=True):
    """Settings of a template that is to be made of a machine. Memory in MB; the numbers are texts.

    What a machine made of the template may be given is from `min_...` to `max_...`; empty is no limit.
    `disk_format` is `vmdk`, which other products import, or `qcow2`.
    """

    vm_name: str
    vcpu: str
    min_vcpu: str
    template_name: str
    interfaces: list[VmInterface]
    disks: list[VmDisk]
    domain_type: str
    memory: str
    min_memory: str
    arch: str
    max_vcpu: str | UnsetType = UNSET
    max_memory: str | UnsetType = UNSET
    disk_format: str | UnsetType = UNSET
    description: str | UnsetType = UNSET


@operation(SERVICE, Permission.VIEWER, timeout=30)
class ParseVmForTemplate(HostOperation[VmForTemplate], frozen=True):
    """Settings of a machine, for making a template of it."""

    kvm_vm_name: VmName
    template_name: TemplateName


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=300,
    changes=True,
    target="kvm_vm_name",
    raises=(AlreadyThere, NoSpace, InUse),
)
class CreateTemplateFromVm(HostOperation[TemplateRefusals], frozen=True):
    """Pack a machine up as a template; answers the refused settings, and makes nothing where any is refused.

    A machine that is on goes on; its disks are packed as they all are at one moment, as after a power cut.
    Settings are those that `parse_vm_for_template` answers. Cancelled, the job leaves nothing.
    """

    kvm_vm_name: VmName
    template_name: TemplateName
    vm_settings_dictionary: GivenSettings


@operation(
    SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="template_name", raises=(NotThere, InUse)
)
class DeleteTemplate(HostOperation[int], frozen=True):
    """Delete a template, with what was unpacked of it; answers 0. Not while linked clones stand upon it."""

    template_name: TemplateName
