"""Accepted settings, put into force: for the next start always, and at once in a container that runs."""

from collections.abc import Callable

import msgspec

from oms.agent.guests.containers import Container, ContainerChange, Containers

NAMES = {
    "memory_kb": "memory",
    "swap_kb": "swap",
    "vcpus": "vcpu",
    "vcpulimit": "vcpulimit",
    "disk_kb": "disk",
    "addresses": "ip_address",
    "nameservers": "nameserver",
    "searchdomains": "searchdomain",
    "onboot": "onboot",
    "hostname": "hostname",
    "password": "password",
}
"""The port's names of settings, and those of the contract."""
NOW = "changed now"
AT_START = "changed at the next start, because {}"


async def apply(
    change: ContainerChange, container: Container, containers: Containers, note: Callable[[str, str], None]
) -> None:
    """Put settings into force; may be repeated. Raises FuncManError, with nothing changed, where they are refused;
    after that a running container that cannot follow is a note, no error."""
    await containers.configure(container.ctid, change)
    waits = await containers.set_live(container.ctid, change) if container.runs else {}
    for field in msgspec.structs.fields(ContainerChange):
        if getattr(change, field.name) is not None:
            why = waits.get(field.name, "")
            note(NAMES[field.name], AT_START.format(why) if why else NOW)
