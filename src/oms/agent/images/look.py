"""Disk images as they are described to callers, from what stands at the beginning of each."""

from collections.abc import Mapping
from pathlib import Path

from oms.agent import shelf
from oms.agent.host import files
from oms.agent.images import catalogue, qcow2
from oms.contract.kvm.images import DiskImage


def described(images: Path, machines: Mapping[str, list[str]]) -> list[DiskImage]:
    """Each image; `machines` says who uses it. One that goes away meanwhile is left out. Raises OSError."""
    found = (_described(images / name, machines.get(name, [])) for name in shelf.names(images))
    return [image for image in found if image is not None]


def _described(path: Path, machines: list[str]) -> DiskImage | None:
    try:
        stat = path.lstat()
    except FileNotFoundError:
        return None
    disk_format, size_bytes = catalogue.format_of(path), stat.st_size
    backing: Path | None = None
    if disk_format == "qcow2":
        head = files.head(path, qcow2.HEAD_BYTES)
        size_bytes = qcow2.disk_bytes(head)
        if name := qcow2.backing_name(head):
            backing = qcow2.backing_path(name, path)
    return DiskImage(
        name=path.name,
        format=disk_format or "",
        size_kb=size_bytes // 1024,
        used_kb=stat.st_blocks * files.BLOCK_BYTES // 1024,
        backing=backing.name if backing and backing.parent == path.parent else "",
        machines=machines,
    )
