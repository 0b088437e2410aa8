"""OpenVZService: containers that start anew, stand still, or come up with their host."""

from typing import Annotated

from msgspec import Meta

from oms.contract.errors import ContainerIsOff
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.ovz import SERVICE
from oms.contract.types import ContainerId


@operation(
    SERVICE, Permission.OPERATOR, timeout=120, changes=True, target="container_id", raises=(ContainerIsOff,)
)
class RebootVm(HostOperation[int], frozen=True):
    """Stop a running container as `stop_vm` does, and start it again; answers 0.

    Settings that waited for its next start come into force.
    """

    container_id: ContainerId


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="container_id", raises=(ContainerIsOff,))
class SuspendVm(HostOperation[int], frozen=True):
    """Have a container stand still, its memory kept; answers 0, also where it stood still already."""

    container_id: ContainerId


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="container_id", raises=(ContainerIsOff,))
class ResumeVm(HostOperation[int], frozen=True):
    """Let a container that stands still go on; answers 0, also where it was running already."""

    container_id: ContainerId


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="container_id")
class SetAutostartVm(HostOperation[int], frozen=True):
    """Say whether a container is started together with its host; answers 0."""

    container_id: ContainerId
    autostart: Annotated[bool, Meta(description="true: it starts with its host", examples=[True])]
