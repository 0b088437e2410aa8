"""KVMService: what machines were at certain moments, kept to go back to."""

from typing import Annotated, Literal

import msgspec

from oms.contract.errors import AlreadyThere, InUse, NoSpace, NotThere, Unusable
from oms.contract.kvm import SERVICE
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.types import VmName, text

SnapshotName = Annotated[
    str,
    text(
        r"[A-Za-z][A-Za-z0-9._+-]*",
        "a snapshot's name: letters, digits and . _ + -, first a letter, at most 63 characters",
        63,
        "before-upgrade",
    ),
]
"""Never only digits: the images have numbers of their own for their snapshots."""

Words = Annotated[
    str,
    text(
        r"[^\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]*",
        "words of your own for it, at most 1000 characters, none of them for control",
        1000,
        "before the upgrade",
        shortest=0,
    ),
]


class SnapshotDescription(msgspec.Struct, frozen=True):
    """A snapshot. `created` is RFC 3339 in UTC; `state` is what the machine did then.

    `memory_kb` is what its memory takes in the images, 0 where it is without; `parent` is the snapshot that it was
    made upon, or ""; `current`: what the machine is now was made upon this one. One that is not `revertible` was
    made elsewhere, in files of its own: OMS lists it and leaves it alone.
    """

    name: str
    description: str
    created: str
    state: Literal["running", "paused", "shutdown", "disks"]
    memory_kb: int
    parent: str
    current: bool
    revertible: bool


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=300,
    changes=True,
    target="kvm_vm_name",
    raises=(AlreadyThere, NoSpace, Unusable),
)
class CreateSnapshot(HostOperation[int], frozen=True):
    """Keep a machine as it is, with its memory where it is on; answers 0.

    All of it goes into the machine's own disk images, which must all be qcow2. A running machine stands still
    until it is done.
    """

    kvm_vm_name: VmName
    snapshot_name: SnapshotName
    description: Words = ""


@operation(SERVICE, Permission.VIEWER)
class ListSnapshots(HostOperation[list[SnapshotDescription]], frozen=True):
    """List the snapshots of a machine, the oldest first."""

    kvm_vm_name: VmName


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=300,
    changes=True,
    target="kvm_vm_name",
    raises=(NotThere, InUse, Unusable),
)
class RevertSnapshot(HostOperation[int], frozen=True):
    """Put a machine back into what it was when a snapshot was made: disks, memory, and settings; answers 0.

    What it is now is lost, unless a snapshot was made of that too. The snapshot stays.
    """

    kvm_vm_name: VmName
    snapshot_name: SnapshotName


@operation(SERVICE, Permission.OPERATOR, timeout=300, changes=True, target="kvm_vm_name", raises=(NotThere,))
class DeleteSnapshot(HostOperation[int], frozen=True):
    """Drop a snapshot; answers 0. The machine, and the snapshots made upon that one, stay as they are."""

    kvm_vm_name: VmName
    snapshot_name: SnapshotName
