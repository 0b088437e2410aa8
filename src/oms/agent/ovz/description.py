"""OpenVZService on this host: what a container is."""

from collections.abc import Iterator

from oms.agent.context import Host
from oms.agent.given import KB_PER_MB
from oms.agent.guests.containers import Container, ContainerCapabilities, ContainerSettings, outside
from oms.agent.ovz.conditions import containers_of
from oms.contract.handlers import Handlers
from oms.contract.ovz import description
from oms.contract.ovz.description import ContainerDescription

handlers: Handlers[Host] = Handlers()


@handlers.handles(description.DescribeVm)
async def describe_vm(op: description.DescribeVm, host: Host) -> ContainerDescription:
    """What runs, and where that differs from what will start next."""
    containers = containers_of(host)
    return described(await containers.find(str(op.container_id)), containers.capabilities)


def described(container: Container, capabilities: ContainerCapabilities) -> ContainerDescription:
    """A container in the contract's words."""
    now = container.live or container.settings
    return ContainerDescription(
        id=container.ctid,
        hostname=now.hostname,
        state=container.state,
        backend=capabilities.backend,
        ours=container.ours,
        onboot=container.settings.onboot,
        unprivileged=bool(container.ids),
        first_id=outside(container.ids, "user", 0),
        memory=now.memory_kb // KB_PER_MB,
        swap=now.swap_kb // KB_PER_MB,
        vcpu=now.vcpus,
        vcpulimit=now.vcpulimit,
        disk=container.settings.disk_kb // KB_PER_MB,
        disk_limit=container.disk_limit,
        network=container.network.kind,
        interface=container.network.name,
        bridge=container.network.bridge,
        mac=container.network.mac,
        ip_address=list(now.addresses),
        nameserver=list(container.settings.nameservers),
        searchdomain=list(container.settings.searchdomains),
        waiting=list(_waiting(container.live, container.settings)) if container.live else [],
    )


def _waiting(live: ContainerSettings, kept: ContainerSettings) -> Iterator[str]:
    """What a start would change."""
    if live.memory_kb != kept.memory_kb:
        yield "memory"
    if live.swap_kb != kept.swap_kb:
        yield "swap"
    if live.vcpus != kept.vcpus:
        yield "vcpu"
    if live.vcpulimit != kept.vcpulimit:
        yield "vcpulimit"
    if set(live.addresses) != set(kept.addresses):
        yield "ip_address"
    if live.hostname != kept.hostname:
        yield "hostname"
