"""Parts of machines that are in memory alone: read from libvirt's words, put in and taken out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from oms.agent import foreign_xml
from oms.agent.guests import Definition
from oms.contract.errors import FuncManError


class Owner(Protocol):
    """A machine, as far as its parts go."""

    kept: Definition | None
    live: Definition | None


@dataclass(frozen=True)
class Named:
    """What a definition says of the machine itself; "" where it does not."""

    name: str
    uuid: str


def read(xml: str) -> tuple[Named, Definition]:
    """A whole definition. Raises FuncManError."""
    # Not above: libvirt's own package is needed for that, which the fakes can do without otherwise.
    from oms.agent.guests.libvirt.definition import definition

    try:
        root = foreign_xml.tree(xml)
        return Named(root.findtext("name", ""), root.findtext("uuid", "")), definition(xml)
    except ValueError as error:
        raise FuncManError(f"The definition is refused: {error}") from error


class FakeDevices:
    """See the Protocol `Devices` for what each method does."""

    def _of(self, uuid: str) -> Owner:
        raise NotImplementedError

    async def attach(self, uuid: str, xml: str, *, live: bool, kept: bool) -> None:
        """A disk or an interface is there at once."""
        new = _device(xml)
        self._change(
            uuid,
            lambda it: replace(it, disks=(*it.disks, *new.disks), nics=(*it.nics, *new.nics)),
            live=live,
            kept=kept,
        )

    async def detach(self, uuid: str, xml: str, *, live: bool, kept: bool) -> None:
        """It is gone at once."""
        targets, macs = _names(_device(xml))
        self._change(
            uuid,
            lambda it: replace(
                it,
                disks=tuple(disk for disk in it.disks if disk.target not in targets),
                nics=tuple(nic for nic in it.nics if nic.mac not in macs),
            ),
            live=live,
            kept=kept,
        )

    async def update(self, uuid: str, xml: str, *, live: bool, kept: bool) -> None:
        """Another medium is in the drive at once."""
        new = {disk.target: disk for disk in _device(xml).disks}
        self._change(
            uuid,
            lambda it: replace(it, disks=tuple(new.get(disk.target, disk) for disk in it.disks)),
            live=live,
            kept=kept,
        )

    def _change(self, uuid: str, act: Callable[[Definition], Definition], *, live: bool, kept: bool) -> None:
        machine = self._of(uuid)
        if live and machine.live is not None:
            machine.live = act(machine.live)
        if kept and machine.kept is not None:
            machine.kept = act(machine.kept)


def _device(xml: str) -> Definition:
    return read(f"<domain><devices>{xml}</devices></domain>")[1]


def _names(device: Definition) -> tuple[set[str], set[str]]:
    return {disk.target for disk in device.disks}, {nic.mac for nic in device.nics}
