"""OpenVZService: all that a container is."""

from typing import Literal

import msgspec

from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.ovz import SERVICE
from oms.contract.types import ContainerId


class ContainerDescription(msgspec.Struct, frozen=True):
    """A container. Sizes in MB, `vcpulimit` in percent of one CPU; 0 is no limit, but of `swap`, which is beside
    `memory`.

    `backend`: what runs it, `lxc` or `openvz`. `ours`: made by OMS. `unprivileged`: its root is nobody on the
    host; `first_id` is the host's id of that root. `network` is of the kind `routed` (the host passes packets on
    to its addresses alone), `bridge`, `none`, or `other`; `interface` is its name in the container. `disk_limit`:
    by what its disk is kept within its size: `subvolume`, `project`, `image`, `openvz`, or "" where nothing does.
    `waiting` lists what is other at its next start: of `memory`, `swap`, `vcpu`, `vcpulimit`, `ip_address`,
    `hostname`.
    """

    id: str
    hostname: str
    state: Literal["running", "paused", "shutdown", "crashed"]
    backend: str
    ours: bool
    onboot: bool
    unprivileged: bool
    first_id: int
    memory: int
    swap: int
    vcpu: int
    vcpulimit: int
    disk: int
    disk_limit: str
    network: str
    interface: str
    bridge: str
    mac: str
    ip_address: list[str]
    nameserver: list[str]
    searchdomain: list[str]
    waiting: list[str]


@operation(SERVICE, Permission.VIEWER)
class DescribeVm(HostOperation[ContainerDescription], frozen=True):
    """Describe a container: its state, what it is held to, its network."""

    container_id: ContainerId
