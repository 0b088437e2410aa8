"""KVMService: asking a guest to end, and having a machine stand still, beside starting and stopping it."""

from typing import Annotated

from msgspec import Meta

from oms.contract.errors import GuestDidNotReact, MachineIsOff
from oms.contract.kvm import SERVICE
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.types import VmName

Seconds = Annotated[
    int,
    Meta(
        ge=1,
        le=3600,
        description="how many whole seconds the guest has, 1 to 3600",
        examples=[60],
    ),
]

Force = Annotated[
    bool,
    Meta(
        description="true: a guest that has not reacted by then is stopped as by pulling its plug",
        examples=[False],
    ),
]


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=90,
    changes=True,
    target="kvm_vm_name",
    raises=(GuestDidNotReact,),
)
class ShutdownVm(HostOperation[int], frozen=True):
    """Ask a machine's guest to shut down, and wait until it has; answers 0, also where it was off already.

    It is asked by its power button, and where that does not help through the guest agent, if there is one.
    """

    kvm_vm_name: VmName
    seconds: Seconds = 60
    force: Force = False


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=120,
    changes=True,
    target="kvm_vm_name",
    raises=(MachineIsOff, GuestDidNotReact),
)
class RebootVm(HostOperation[int], frozen=True):
    """Ask a machine's guest to shut down, then start the machine again; answers 0.

    As the machine is off in between, settings that waited for its next start come into force.
    """

    kvm_vm_name: VmName
    seconds: Seconds = 60
    force: Force = False


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="kvm_vm_name", raises=(MachineIsOff,))
class ResetVm(HostOperation[int], frozen=True):
    """Start a running machine anew at once, as by its reset button; answers 0."""

    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="kvm_vm_name", raises=(MachineIsOff,))
class SuspendVm(HostOperation[int], frozen=True):
    """Have a machine stand still, its memory kept; answers 0, also where it stood still already."""

    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="kvm_vm_name", raises=(MachineIsOff,))
class ResumeVm(HostOperation[int], frozen=True):
    """Let a machine that stands still go on; answers 0, also where it was running already."""

    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, timeout=300, changes=True, target="kvm_vm_name", raises=(MachineIsOff,))
class SaveVm(HostOperation[int], frozen=True):
    """Put what a machine is doing on its host's disk, and end it; answers 0, also where it was saved already.

    `start_vm` has it go on from there. Cancelled before it is all on the disk, the machine runs on.
    """

    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="kvm_vm_name")
class DiscardSavedVm(HostOperation[int], frozen=True):
    """Drop what `save_vm` put on the disk; answers 0, also where there was nothing.

    The machine boots when it is started next, as after a power cut.
    """

    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="kvm_vm_name")
class SetAutostartVm(HostOperation[int], frozen=True):
    """Say whether a machine is started together with its host; answers 0."""

    kvm_vm_name: VmName
    autostart: Annotated[bool, Meta(description="true: it starts with its host", examples=[True])]
