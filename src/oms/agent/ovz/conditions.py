"""What a container must be like for what is asked of it, and the words where it is not."""

from oms.agent.context import Host
from oms.agent.guests.containers import Container, Containers
from oms.contract.errors import ContainerIsOff, NotSupported


def containers_of(host: Host) -> Containers:
    """The host's containers. Raises NotSupported where it can have none."""
    if host.containers is None:
        raise NotSupported(
            "This host runs no containers: neither OpenVZ nor LXC was found when its agent started. On Debian, "
            "apt-get install lxc uidmap nftables, then start the agent anew"
        )
    return host.containers


def check_on(container: Container) -> None:
    """Raises ContainerIsOff."""
    if not container.runs:
        raise ContainerIsOff(
            f"Container {container.ctid} is off; start it with start_vm first", container=container.ctid
        )
