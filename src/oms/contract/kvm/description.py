"""KVMService: all that a machine is made of."""

from typing import Literal

import msgspec

from oms.contract.kvm import SERVICE
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.types import VmName


class DescribedDisk(msgspec.Struct, frozen=True):
    """A drive. `source` is the file or device behind it, "" where there is none or it is elsewhere; `format` is
    what the host takes that for. `target` is the drive's name in calls. `size_kb` is what the guest sees; 0 where
    that cannot be told, or where there is no medium."""

    target: str
    bus: str
    device: Literal["disk", "cdrom", "floppy", "lun"]
    source: str
    format: str
    read_only: bool
    size_kb: int


class DescribedNic(msgspec.Struct, frozen=True):
    """A network interface on `source`, which is of the `kind` bridge, network, or another. `mac` is its name in
    calls; `device` is the host's end of it while the machine runs."""

    mac: str
    kind: str
    source: str
    model: str
    device: str


class Description(msgspec.Struct, frozen=True):
    """A machine as it runs, or as it will start where it is off. Memory in MB.

    `saved`: it is off, and goes on from where `save_vm` left it. `kept`: it is still known when it stops.
    `guest_agent`: an agent in the guest answers now. `boot`: from what it starts, the first first: `hd`, `cdrom`,
    `network`, or the targets and addresses of single devices. `graphics`: how its screen can be seen, as in `vnc`.
    `waiting` lists what is other at its next start: of `vcpus`, `memory_mb`, `disks`, `nics`.
    """

    name: str
    uuid: str
    state: Literal["running", "paused", "shutdown", "crashed"]
    autostart: bool
    saved: bool
    kept: bool
    vcpus: int
    memory_mb: int
    guest_agent: bool
    disks: list[DescribedDisk]
    nics: list[DescribedNic]
    boot: list[str]
    graphics: list[str]
    waiting: list[str]


@operation(SERVICE, Permission.VIEWER)
class DescribeVm(HostOperation[Description], frozen=True):
    """Describe a machine: its state, its drives and network interfaces."""

    kvm_vm_name: VmName
