"""Two hosts of one OMS, each with a libvirtd of its own, and machines of which one can see whether they go on."""

import functools
import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt

from tests.hosts.install_cd import assembled
from tests.hosts.kvm_machines import emptied
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import NAME, Caller, CallFailed, HastyStack, Stack
from tests.waiting import until

OTHER = "node2"
SOURCE = Path(__file__).with_name("tiny_counter.S")
SECTOR = 512
MB = 1024 * 1024
SHOWN_SECONDS = 60.0
ENDED = ("done", "failed", "cancelled")


@dataclass
class Side:
    """One of the hosts, as a test sees it without OMS."""

    name: str
    libvirtd: PrivateLibvirtd
    virt: libvirt.virConnect
    storage: Path
    process: str

    @property
    def images(self) -> Path:
        return self.storage / "images"

    def domain(self, name: str) -> libvirt.virDomain | None:
        return next((domain for domain in self.virt.listAllDomains(0) if domain.name() == name), None)

    def runs(self, name: str) -> bool:
        domain = self.domain(name)
        return domain is not None and bool(domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING)

    def files(self) -> set[str]:
        """Everything in its storage that is a file, records of formats left out."""
        found = (path for path in self.storage.rglob("*") if not path.is_dir() and ".formats" not in path.parts)
        return {str(path.relative_to(self.storage)) for path in found}


@dataclass
class Movers:
    """Both, and their OMS."""

    oms: Stack
    here: Side
    there: Side

    def machine(
        self, name: str, disk_format: str = "raw", *, filled_mb: int = 0, more: str = "", running: bool = True
    ) -> Path:
        """A machine here that counts on its disk; so many MB of that are filled. Its disk."""
        disk = self.here.images / f"{name}.img"
        counting_disk(disk, disk_format, filled_mb)
        domain = self.here.virt.defineXML(counting_xml(name, disk, disk_format, more))
        if running:
            domain.create()
            self.wait(lambda: count(disk, disk_format)[1] > 0, "it does not count")
        return disk

    def slow(self, name: str) -> None:
        """Let its memory and disks go over slowly, so that there is time for trouble."""
        domain = self.here.domain(name)
        assert domain is not None
        domain.migrateSetMaxSpeed(2)

    def begin(self, caller: Caller, name: str, to: str = OTHER) -> str:
        """Have it moved; the job."""
        try:
            caller.kvm("migrate_vm", name, to)
        except CallFailed as failure:
            if failure.name == "FuncMethodTimeoutError":
                return str(failure.error["data"]["job"])
            raise
        return str(self.task(caller)["id"])

    def ended(self, caller: Caller, job: str, seconds: int = 40) -> dict[str, Any]:
        """The job, once it has ended."""
        end = time.monotonic() + seconds
        while (task := caller.task("wait_task", job, 3))["state"] not in ENDED:
            assert time.monotonic() < end, f"{task}: {self.oms.log('agent')} {self.oms.log(OTHER)}"
        return dict(task)

    def move(self, caller: Caller, name: str, to: str = OTHER) -> None:
        task = self.ended(caller, self.begin(caller, name, to))
        assert task["state"] == "done", task

    def move_back(self, caller: Caller, name: str) -> None:
        """From there to here."""
        caller.kvm("migrate_vm", name, NAME, host=OTHER)

    def content(self, disk: Path) -> bytes:
        """All that a qcow2 image holds."""
        with tempfile.NamedTemporaryFile() as raw:
            subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", disk, raw.name], check=True)
            return Path(raw.name).read_bytes()

    def state_there(self, name: str) -> str:
        domain = self.there.domain(name)
        assert domain is not None
        return "paused" if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED else "other"

    def stays(self, name: str, disk: Path) -> None:
        """It counts on here, and nothing of it is there."""
        assert self.where(name) == NAME
        before = count(disk)
        self.wait(lambda: count(disk)[1] > before[1], "it does not go on")
        assert count(disk)[0] == before[0], "it was started anew"
        self.wait(lambda: self.there.domain(name) is None, "a part of it is there")
        self.wait(lambda: self.there.files() == set(), f"there are left {self.there.files()}")

    def clear(self) -> None:
        """No machines and no files, without OMS."""
        for side in (self.here, self.there):
            for domain in side.virt.listAllDomains(0):
                persistent = domain.isPersistent()
                if domain.isActive():
                    domain.destroy()
                if persistent:
                    domain.undefine()
            for path in side.files():
                (side.storage / path).unlink()

    def task(self, caller: Caller, method: str = "kvmservices.migrate_vm", host: str = "") -> dict[str, object]:
        """The newest job of a method."""
        for task in caller.task("list_tasks", "", host):
            if task["method"] == method:
                return dict(task)
        raise AssertionError(f"no job of {method}")

    def where(self, name: str) -> str:
        """On which host it runs: exactly one of them, or it is no machine any more."""
        running = [side.name for side in (self.here, self.there) if side.runs(name)]
        assert len(running) <= 1, f"{name} runs on both hosts"
        return running[0] if running else ""

    def wait(self, true: Callable[[], object], otherwise: str, seconds: float = SHOWN_SECONDS) -> None:
        until(true, lambda: f"{otherwise}: {self.oms.log('agent')} {self.oms.log(OTHER)}", seconds)


@contextmanager
def movers(one: PrivateLibvirtd, other: PrivateLibvirtd, **settings: str) -> Iterator[Movers]:
    """Both hosts signed and connected."""
    with (
        tempfile.TemporaryDirectory(prefix="oms-move-") as name,
        HastyStack(Path(name), one.uri, migration_ports=ports(), **settings) as oms,
        emptied(one.uri) as here,
        emptied(other.uri) as there,
    ):
        storage = oms.join(OTHER, libvirt_uri=other.uri, migration_ports=ports(), **settings)
        yield Movers(
            oms,
            Side(NAME, one, here, oms.directory / "storage", "agent"),
            Side(OTHER, other, there, storage, OTHER),
        )


def ports() -> str:
    """Some that nobody has just now, one after the other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = min(probe.getsockname()[1], 65500)
    return f"{first}-{first + 20}"


@functools.cache
def counter() -> bytes:
    """The system that counts."""
    with tempfile.TemporaryDirectory() as scratch:
        return assembled(SOURCE, Path(scratch))


def counting_disk(path: Path, disk_format: str, filled_mb: int = 0) -> None:
    raw = path.with_suffix(".raw") if disk_format != "raw" else path
    with raw.open("wb") as file:
        file.write(counter())
        file.truncate(16 * MB + filled_mb * MB)
        file.seek(16 * MB)
        file.write(os.urandom(filled_mb * MB))
    if disk_format != "raw":
        subprocess.run(["qemu-img", "convert", "-O", disk_format, raw, path], check=True)
        raw.unlink()


def counting_xml(name: str, disk: Path, disk_format: str, more: str = "") -> str:
    return (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>"
        "<cpu mode='custom'><model>qemu64</model></cpu>"
        f"<devices><disk type='file' device='disk'><driver name='qemu' type='{disk_format}'/>"
        f"<source file='{disk}'/><target dev='hda' bus='ide'/></disk>"
        f"<serial type='pty'/><graphics type='vnc' autoport='yes' passwd='secret'/>{more}</devices></domain>"
    )


def count(disk: Path, disk_format: str = "raw") -> tuple[int, int]:
    """When the system on a disk was started, and how far it has counted."""
    if disk_format == "raw":
        with disk.open("rb") as file:
            file.seek(SECTOR)
            content = file.read(8)
    else:
        with tempfile.NamedTemporaryFile() as raw:
            words = [
                "dd",
                "-U",
                "-f",
                disk_format,
                "-O",
                "raw",
                "bs=512",
                "count=2",
                f"if={disk}",
                f"of={raw.name}",
            ]
            subprocess.run(["qemu-img", *words], check=True)
            content = Path(raw.name).read_bytes()[SECTOR : SECTOR + 8]
    started, counted = struct.unpack("<II", content)
    return started, counted


__all__ = ["NAME", "OTHER", "CallFailed", "Movers", "closing", "count", "movers"]
