"""A disk image that somebody brought: whether it is what it is said to be, and nothing that reaches further.

Only the two formats that machines here use are taken. Reading any other takes a parser that was never meant for
what strangers make, and some of them name files of the host as their content.
"""

from pathlib import Path

from oms.agent.host import files, qemu_img
from oms.agent.images import qcow2
from oms.contract.errors import Unusable
from oms.contract.types import DiskFormat

OTHERS = {
    qcow2.MAGIC: "a qcow2 image: say so",
    b"KDMV": "a VMDK image: convert it first (qemu-img convert -O qcow2)",
    b"COWD": "a VMDK image: convert it first (qemu-img convert -O qcow2)",
    b"# Disk DescriptorFile": "a VMDK descriptor: convert its disk first (qemu-img convert -O qcow2)",
    b"<<< ": "a VDI image: convert it first (qemu-img convert -O qcow2)",
    b"vhdxfile": "a VHDX image: convert it first (qemu-img convert -O qcow2)",
    b"conectix": "a VHD image: convert it first (qemu-img convert -O qcow2)",
    b"QED\0": "a QED image: convert it first (qemu-img convert -O qcow2)",
    b"\x1f\x8b": "compressed (gzip): unpack it first",
    b"\xfd7zXZ": "compressed (xz): unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed (zstd): unpack it first",
    b"BZh": "compressed (bzip2): unpack it first",
    b"PK\x03\x04": "a ZIP archive: unpack it first",
}
"""How files begin that are brought as raw disks by mistake."""


async def check(path: Path, disk_format: DiskFormat) -> None:
    """See that a file may be used as a disk image of that format. Raises Unusable, InUse, FuncManError."""
    head = files.head(path, qcow2.HEAD_BYTES)
    if disk_format == "raw":
        if kind := next((kind for front, kind in OTHERS.items() if head.startswith(front)), ""):
            raise _refused(path, f"it is no raw disk but {kind}")
        return
    size_bytes = path.stat().st_size
    try:
        qcow2.foreign(head, size_bytes)
    except qcow2.Refused as refused:
        raise _refused(path, str(refused)) from refused
    await qemu_img.check(path, disk_format, limits=qemu_img.limits_for(size_bytes))


def _refused(path: Path, why: str) -> Unusable:
    return Unusable(f"{path.name} is not taken as a disk image: {why}", file=path.name)
