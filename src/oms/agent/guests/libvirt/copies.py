"""Copies of disks through libvirt: its backups, in the mode in which the hypervisor writes them itself."""

import asyncio
import functools
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import libvirt

from oms.agent.guests.libvirt import calls
from oms.agent.guests.libvirt.definition import parse
from oms.agent.guests.libvirt.lines import PROGRESS_SECONDS, Lines
from oms.contract.errors import FuncManError

RECENT = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED


class LibvirtCopies:
    """The port's methods for copies; see the Protocol `Copies`."""

    _lines: Lines

    async def copy_disks(self, uuid: str, files: Mapping[str, Path], on_progress: Callable[[float], None]) -> None:
        """Begin a backup and wait for its end."""
        await self._lines.settle(uuid)
        await self._lines.change(uuid, functools.partial(_begin, files=files))
        directory = next(iter(files.values())).parent
        try:
            while (
                percent := await self._asked(uuid, functools.partial(_percent, directory=directory))
            ) is not None:
                on_progress(percent)
                await asyncio.sleep(PROGRESS_SECONDS)
        except asyncio.CancelledError:
            await self.end_copy(uuid, directory)
            raise
        if not await self._asked(uuid, functools.partial(_succeeded, target=next(iter(files)))):
            raise FuncManError("The hypervisor broke the copy of the machine's disks off: see its log on the host")

    async def end_copy(self, uuid: str, directory: Path) -> None:
        """Break a backup off, if it is this one."""
        await self._lines.change(uuid, functools.partial(_end, directory=directory))

    async def _asked(self, uuid: str, ask: Callable[[Any], Any]) -> Any:
        return await self._lines.ask(lambda connection: ask(calls.by_uuid(connection, uuid)))


def _begin(domain: Any, *, files: Mapping[str, Path]) -> None:
    backup = ET.Element("domainbackup", mode="push")
    disks = ET.SubElement(backup, "disks")
    for disk in parse(domain.XMLDesc(0)).iterfind("devices/disk/target"):
        target = disk.get("dev", "")
        element = ET.SubElement(disks, "disk", name=target, backup="yes" if target in files else "no")
        if target in files:
            element.set("type", "file")
            ET.SubElement(element, "driver", type="qcow2")
            ET.SubElement(element, "target", file=str(files[target]))
    domain.backupBegin(ET.tostring(backup, encoding="unicode"), None, 0)


def _under_way(domain: Any, directory: Path) -> bool:
    """Whether a backup into that directory is being made."""
    try:
        backup = parse(domain.backupGetXMLDesc(0))
    except libvirt.libvirtError as error:
        if error.get_error_code() not in {libvirt.VIR_ERR_NO_DOMAIN_BACKUP, libvirt.VIR_ERR_OPERATION_INVALID}:
            raise
        return False
    return any(Path(target.get("file", "")).parent == directory for target in backup.iter("target"))


def _percent(domain: Any, *, directory: Path) -> float | None:
    """How far it is; None where it has ended."""
    if not _under_way(domain, directory):
        return None
    return calls.percent(domain) or 0.0


def _succeeded(domain: Any, *, target: str) -> bool:
    """Whether it came to its end, once the files are closed: libvirt says that it has ended a little before, and a
    question that needs the machine itself waits until it has done all of that."""
    if not domain.isActive():
        return False
    domain.blockStats(target)
    return bool(domain.jobStats(RECENT).get("success"))


def _end(domain: Any, *, directory: Path) -> None:
    if _under_way(domain, directory):
        try:
            domain.abortJob()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:  # it has just ended
                raise
