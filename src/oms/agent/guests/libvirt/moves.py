"""Machines that come and go through libvirt: its peer-to-peer migration, over sockets that agents carry."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import libvirt

from oms.agent.guests.libvirt import calls
from oms.agent.guests.libvirt.definition import parse
from oms.agent.guests.libvirt.doorkeeper import LibvirtDoorkeeper, flags
from oms.agent.guests.libvirt.lines import Lines
from oms.agent.guests.moves import CONTROL, DISKS, MEMORY, Admission, Portable
from oms.contract.errors import FuncManError, NoSuchMachine, NotSupported

SOCKETS = (Path("/run/libvirt/libvirt-sock"), Path("/run/libvirt/virtqemud-sock"))
"""Of the daemon that is one, and of the one that is many."""
WITH_SECRETS = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE
GONE = {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID}
CPUS_THAT_DO = {libvirt.VIR_CPU_COMPARE_IDENTICAL, libvirt.VIR_CPU_COMPARE_SUPERSET}


class LibvirtMoves:
    """The port's methods for moves; see the Protocol `Moves`."""

    _lines: Lines
    _uri: str

    async def portable(self, uuid: str) -> Portable:
        """With passwords, and without what libvirt gives a machine anew at each host."""
        return await self._lines.ask(lambda connection: _portable(calls.by_uuid(connection, uuid)))

    async def check_fits(self, definition: str) -> None:
        """By machine type and CPU; libvirt itself looks again when the machine comes."""
        # With the time of a change: a libvirtd that is asked this for the first time tries its hypervisor out.
        await self._lines.make(functools.partial(_check_fits, definition))

    async def send_away(
        self,
        uuid: str,
        definition: str,
        sockets: Path,
        copied: tuple[str, ...],
        on_progress: Callable[[float], None],
    ) -> None:
        """One call of libvirt, which comes back when the machine is there or runs on here."""
        act = functools.partial(_send_away, definition=definition, sockets=sockets, copied=copied)
        await self._lines.work(uuid, act, on_progress)

    async def has_left(self, uuid: str) -> bool:
        """By the reason that libvirt gives for its being off."""
        left = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED]
        now: list[int] = await self._lines.ask(lambda connection: calls.by_uuid(connection, uuid).state())
        return now == left

    async def has_arrived(self, uuid: str) -> bool:
        """While it comes, libvirt says that it stands still for that; afterwards, that somebody wanted it so."""
        try:
            return await self._lines.ask(lambda connection: _has_arrived(calls.by_uuid(connection, uuid)))
        except NoSuchMachine:
            return False

    async def drop_arrived(self, uuid: str) -> None:
        """It was not kept, so that it is gone when it ends."""
        try:
            await self._lines.change(uuid, _drop)
        except NoSuchMachine:
            return

    def doorkeeper(self, admission: Admission) -> LibvirtDoorkeeper:
        """For one connection."""
        return LibvirtDoorkeeper(admission)

    def door(self) -> Path:
        """As the address of libvirtd says, or where it usually is."""
        if given := parse_qs(urlsplit(self._uri).query).get("socket"):
            return Path(given[0])
        return next((path for path in SOCKETS if path.is_socket()), SOCKETS[0])

    async def socket_owner(self) -> tuple[int, int]:
        """As libvirt's description of its host says; root where it says nothing."""
        return await self._lines.ask(_socket_owner)


def _portable(domain: Any) -> Portable:
    live = domain.XMLDesc(WITH_SECRETS) if domain.isActive() else ""
    kept = domain.XMLDesc(WITH_SECRETS | libvirt.VIR_DOMAIN_XML_INACTIVE) if domain.isPersistent() else ""
    return Portable(live, kept)


def _check_fits(definition: str, connection: Any) -> None:
    root = parse(definition)
    kind = root.find("os/type")
    arch, machine = (kind.get("arch"), kind.get("machine")) if kind is not None else (None, None)
    try:
        connection.getDomainCapabilities(None, arch, machine, root.get("type"))
    except libvirt.libvirtError as error:
        raise NotSupported(
            f"This host cannot run machines of the type {root.get('type')}, {machine}, {arch}",
            machine_type=machine,
        ) from error
    cpu = root.find("cpu")
    if cpu is not None and cpu.get("mode", "custom") == "custom" and cpu.find("model") is not None:
        _check_cpu(connection, (arch, machine, root.get("type")), cpu)


def _check_cpu(connection: Any, kind: tuple[str | None, ...], cpu: Any) -> None:
    from xml.etree import ElementTree as ET

    wanted = ET.tostring(cpu, encoding="unicode")
    try:
        found = connection.compareHypervisorCPU(None, *kind, wanted)
    except libvirt.libvirtError:
        return  # a hypervisor that cannot compare looks when the machine comes
    if found not in CPUS_THAT_DO:
        raise NotSupported(
            f"This host's processor lacks what the machine's has (model {cpu.findtext('model')}): it would not run"
            " here. Give it a processor model that both hosts have."
        )


def _send_away(domain: Any, *, definition: str, sockets: Path, copied: tuple[str, ...]) -> None:
    all_disks = {
        target.get("dev", "")
        for disk in parse(definition).iterfind("devices/disk")
        for target in disk.iterfind("target")
        if disk.get("device", "disk") in {"disk", "lun"}
    }
    domain.migrateToURI3(
        f"qemu+unix:///system?socket={sockets / CONTROL}",
        {
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: definition,
            libvirt.VIR_MIGRATE_PARAM_URI: f"unix://{sockets / MEMORY}",
            **({libvirt.VIR_MIGRATE_PARAM_DISKS_URI: f"unix://{sockets / DISKS}"} if copied else {}),
            **({libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS: list(copied)} if copied else {}),
        },
        flags(copied, all_disks_copied=all_disks <= set(copied)),
    )


def _has_arrived(domain: Any) -> bool:
    return bool(domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER])


def _drop(domain: Any) -> None:
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in GONE:
            raise


def _socket_owner(connection: Any) -> tuple[int, int]:
    for model in parse(connection.getCapabilities()).iterfind("host/secmodel"):
        if model.findtext("model") == "dac":
            user, _, group = (model.findtext("baselabel") or "").partition(":")
            try:
                return int(user.lstrip("+")), int(group.lstrip("+"))
            except ValueError as bad:
                raise FuncManError(f"libvirt tells no user for machines: {user}:{group}") from bad
    return 0, 0
