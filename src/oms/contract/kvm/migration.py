"""KVMService: machines that move to another host."""

from typing import Annotated

from oms.contract.errors import AlreadyThere, HostUnavailable, NoMemory, NoSpace, NotSupported, NotThere, Unusable
from oms.contract.kvm import SERVICE
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.types import VmName, text

TargetHost = Annotated[
    str,
    text(
        r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*",
        "the host it is to go to: lower-case letters, digits, hyphens and dots, at most 253 characters",
        253,
        "node2",
    ),
]


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=300,
    changes=True,
    target="kvm_vm_name",
    raises=(AlreadyThere, HostUnavailable, NoMemory, NoSpace, NotSupported, NotThere, Unusable),
)
class MigrateVm(HostOperation[int], frozen=True):
    """Move a machine to another host of this OMS; answers 0 once it is there.

    One that runs goes on running, and stands still only for a moment. Its disks are copied, or left where they are
    if both hosts have the very same directory of images; the copies here are deleted when it is there. Cancelled
    before that, it stays where it is.
    """

    kvm_vm_name: VmName
    target_hostname: TargetHost
