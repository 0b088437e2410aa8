"""The port to the hypervisors, continued: parts put into machines and taken out."""

from typing import Protocol


class Devices(Protocol):
    """What a hypervisor can do with the parts of machines. Every method may raise what `Machines` says.

    `xml` is one device in libvirt's words. `live`: of the machine as it runs; `kept`: of what it starts with next;
    where both are asked for, it is both or neither, but for what the guest has its own time for.
    """

    async def attach(self, uuid: str, xml: str, *, live: bool, kept: bool) -> None:
        """Put a device in."""

    async def detach(self, uuid: str, xml: str, *, live: bool, kept: bool) -> None:
        """Take a device out, which is known by its target or address. A running machine's guest lets go of it in
        its own time, or does not: look whether it is gone."""

    async def update(self, uuid: str, xml: str, *, live: bool, kept: bool) -> None:
        """Change the medium in a drive, which is known by its target."""
