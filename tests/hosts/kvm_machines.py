"""What the tests of KVMService share: the port on a private libvirtd, and machines that are made quickly."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import libvirt

from oms.agent.guests.libvirt import LibvirtMachines

UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


@asynccontextmanager
async def connected(uri: str, **limits: Any) -> AsyncIterator[LibvirtMachines]:
    """The port, connected, and let go of at the end. Machines that are emulated on a loaded host are slow to take
    changes."""
    machines = LibvirtMachines(uri, "qemu", **{"soon_seconds": 40.0, **limits})
    assert await machines.begin()
    try:
        yield machines
    finally:
        await machines.close()


def small_xml(name: str, *, memory_mb: int = 32, vcpus: str = "<vcpu>1</vcpu>", devices: str = "") -> str:
    """A machine that finds nothing to boot, and idles in its firmware when it is started."""
    return (
        f"<domain type='qemu'><name>{escape(name)}</name><memory unit='MiB'>{memory_mb}</memory>{vcpus}"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>"
        f"<devices>{devices}</devices></domain>"
    )


def disk_xml(path: Path, target: str = "vda", device: str = "disk") -> str:
    bus = "ide" if device == "cdrom" else "virtio"
    return (
        f"<disk type='file' device='{device}'><driver name='qemu' type='raw'/><source file='{escape(str(path))}'/>"
        f"<target dev='{target}' bus='{bus}'/></disk>"
    )


@contextmanager
def emptied(uri: str) -> Iterator[libvirt.virConnect]:
    """A connection of the test's own; whatever machines there are at the end are ended and forgotten."""
    connection = libvirt.open(uri)
    try:
        yield connection
    finally:
        for domain in connection.listAllDomains(0):
            persistent = domain.isPersistent()
            if domain.isActive():
                domain.destroy()
            if persistent:
                domain.undefineFlags(UNDEFINE)
        connection.close()


def pid_of(uuid: str) -> int:
    """The process that runs a machine, as this side sees it. Of two test runs side by side each may have a machine
    of the same name, so it is the UUID that tells."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if uuid.encode() in command:
                return int(entry.name)
    raise LookupError(f"no process runs machine {uuid}")
