"""Snapshots through libvirt: all of them internal, which is what libvirt can both make and take back for sure."""

import functools
import xml.etree.ElementTree as ET
from typing import Any, Final

import libvirt

from oms.agent.guests.libvirt import calls
from oms.agent.guests.libvirt.definition import parse
from oms.agent.guests.libvirt.lines import Lines
from oms.agent.guests.snapshots import Snapshot
from oms.contract.errors import NotThere

STATES: Final[dict[str, Any]] = {
    "running": "running",
    "blocked": "running",
    "paused": "paused",
    "pmsuspended": "paused",
    "disk-snapshot": "disks",
}


class LibvirtSnapshots:
    """The port's methods for snapshots; see the Protocol `Snapshots`."""

    _lines: Lines

    async def snapshots(self, uuid: str) -> list[Snapshot]:
        """Those of one machine, the oldest first."""
        return await self._lines.ask(functools.partial(_all_of, uuid))

    async def create_snapshot(self, uuid: str, name: str, description: str) -> None:
        """Keep a machine as it is."""
        await self._lines.work(uuid, functools.partial(_create, name=name, description=description))

    async def revert_snapshot(self, uuid: str, name: str) -> None:
        """Put a machine back into what it was."""
        await self._lines.work(uuid, lambda domain: domain.revertToSnapshot(_find(domain, name), 0))

    async def delete_snapshot(self, uuid: str, name: str) -> None:
        """Drop a snapshot."""
        await self._lines.work(uuid, lambda domain: _find(domain, name).delete(0))


def _all_of(uuid: str, connection: Any) -> list[Snapshot]:
    domain = calls.by_uuid(connection, uuid)
    found = []
    for snapshot in domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL):
        try:
            found.append(_snapshot(connection, domain, snapshot))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
                raise
    return sorted(found, key=lambda snapshot: snapshot.created)


def _snapshot(connection: Any, domain: Any, snapshot: Any) -> Snapshot:
    root = parse(snapshot.getXMLDesc(0))
    ways = {disk.get("name", ""): disk.get("snapshot", "") for disk in root.iterfind("disks/disk")}
    memory = root.find("memory")
    inside = {target for target, way in ways.items() if way == "internal"}
    kept = {target for target, way in ways.items() if way != "no"}
    of_machine = root.find("domain")
    return Snapshot(
        name=snapshot.getName(),
        description=root.findtext("description", ""),
        created=int(root.findtext("creationTime", "0")),
        state=STATES.get(root.findtext("state", ""), "shutdown"),
        parent=root.findtext("parent/name", ""),
        current=bool(snapshot.isCurrent()),
        internal=inside == kept and (memory is None or memory.get("snapshot") != "external"),
        disks=tuple(sorted(kept)),
        definition=calls.described(
            connection, domain, "<domain/>" if of_machine is None else ET.tostring(of_machine, encoding="unicode")
        ),
    )


def _create(domain: Any, *, name: str, description: str) -> None:
    root = ET.Element("domainsnapshot")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "description").text = description
    domain.snapshotCreateXML(ET.tostring(root, encoding="unicode"), 0)


def _find(domain: Any, name: str) -> Any:
    try:
        return domain.snapshotLookupByName(name, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
            raise
    raise NotThere(
        f"Machine {domain.name()!r} has no snapshot {name!r}; list_snapshots shows those it has", snapshot=name
    )
