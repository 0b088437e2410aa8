"""OpenVZService: containers that move to another host."""

from typing import Annotated

from oms.contract.errors import ApplicationError, HostUnavailable, NoSpace
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.ovz import SERVICE
from oms.contract.types import ContainerId, text


class OpenVZMigrationNotCapable(ApplicationError):
    """The one host cannot give the container away, or the other cannot take it; nothing was changed. `data.host`
    is `source` or `target`, `data.reason` the kind of the reason."""

    code = 1039


TargetHost = Annotated[
    str,
    text(
        r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*",
        "the name of the host it is to go to: lower-case letters, digits, hyphens, dots, at most 253 characters",
        253,
        "node2",
    ),
]


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=300,
    changes=True,
    target="container_id",
    answers="tmp_cache",
    host_field="server1_hostname",
    raises=(OpenVZMigrationNotCapable, HostUnavailable, NoSpace),
)
class MigrateVm(HostOperation[int], frozen=True):
    """Move a container to another host of this OMS; answers 0 once it is there.

    Its files are copied while it runs, again and again what has changed since; then it is shut down, the last
    changes are copied, and it is started there. How long it was off stands in the job's `notes`. Cancelled or
    broken off before that, it stays where it is, and runs. It keeps its id, settings and addresses.
    """

    container_id: ContainerId
    server2_hostname: TargetHost
