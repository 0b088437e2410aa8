"""OpenVZService: templates, which are root file systems packed up, deployed as containers and made of them."""

import msgspec
from msgspec import UNSET, UnsetType

from oms.contract.errors import AlreadyThere, InUse, NoSpace, NotThere, Unusable
from oms.contract.kvm.templates import TemplateName
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.ovz import SERVICE, Refusals, Settings
from oms.contract.types import ContainerId, VmName


class ContainerTemplateSettings(msgspec.Struct, frozen=True):
    """Settings for a container that is made of a template, with their limits. Memory and disk in MB, `vcpulimit`
    in percent of one CPU; the numbers are texts, "0" is no limit.

    `vm_id` is the id that it gets, `vm_name` its host name. Several addresses are parted by blanks; `passwd` is
    root's password, and what is left empty is not set.
    """

    template_name: str
    vm_name: str
    vm_id: str
    domain_type: str
    memory: str
    min_memory: str
    max_memory: str
    vcpu: str
    min_vcpu: str
    max_vcpu: str
    vcpulimit: str
    min_vcpulimit: str
    max_vcpulimit: str
    disk: str
    min_disk: str
    max_disk: str
    ip_address: str
    nameserver: str
    passwd: str
    searchdomain: str | UnsetType = UNSET
    onboot: str | UnsetType = UNSET


class ContainerForTemplate(msgspec.Struct, frozen=True):
    """Settings of a template that is to be made of a container. Memory in MB; the numbers are texts.

    What a container made of the template may be given is from `min_...` to `max_...`; empty is no limit.
    """

    vm_id: str
    template_name: str
    domain_type: str
    vcpu: str
    min_vcpu: str
    memory: str
    min_memory: str
    max_vcpu: str | UnsetType = UNSET
    max_memory: str | UnsetType = UNSET
    description: str | UnsetType = UNSET


@operation(SERVICE, Permission.VIEWER)
class ListTemplates(HostOperation[list[str]], frozen=True):
    """List the container templates of a host by name."""


@operation(SERVICE, Permission.VIEWER, timeout=60, raises=(NotThere, Unusable))
class ParseTemplateForVm(HostOperation[ContainerTemplateSettings], frozen=True):
    """Settings for a new container that is made of a template, with what the template and the host allow now.

    The first time, all of the template is looked at, and unpacked where that makes deploying it fast; this goes on
    when the call has answered.
    """

    template_name: TemplateName
    vm_name: VmName


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=300,
    changes=True,
    target="vm_name",
    raises=(AlreadyThere, NotThere, Unusable, NoSpace),
)
class DeployTemplateForVm(HostOperation[Refusals], frozen=True):
    """Make a container of a template; answers the refused settings, and makes nothing where any is refused.

    Settings are those that `parse_template_for_vm` answers, as they are there or changed, and `password`,
    `hostname` and `swap` (MB); what is left out is as proposed there. The container is off when it has been made,
    and its id stands in the job's `notes` as `vm_id`. Cancelled, the job leaves nothing.
    """

    template_name: TemplateName
    vm_name: VmName
    settings_dictionary: Settings


@operation(SERVICE, Permission.VIEWER, timeout=30)
class ParseVmForTemplate(HostOperation[ContainerForTemplate], frozen=True):
    """Settings of a container, for making a template of it."""

    ct_id: ContainerId
    template_name: TemplateName


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=300,
    changes=True,
    target="ct_id",
    raises=(AlreadyThere, NoSpace),
)
class CreateTemplateFromVm(HostOperation[Refusals], frozen=True):
    """Pack a container up as a template; answers the refused settings, and makes nothing where any is refused.

    A container that runs stands still while it is packed, and goes on then. Settings are those that
    `parse_vm_for_template` answers. The archive's SHA-256 stands in the job's `notes`. Cancelled, the job leaves
    nothing.
    """

    ct_id: ContainerId
    template_name: TemplateName
    settings_dictionary: Settings


@operation(
    SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="template_name", raises=(NotThere, InUse)
)
class DeleteTemplate(HostOperation[int], frozen=True):
    """Delete a container template, with what was unpacked of it; answers 0. Containers made of it stay."""

    template_name: TemplateName
