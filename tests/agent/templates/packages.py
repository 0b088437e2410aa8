"""Packages for tests: made as other products make them, and as nobody should."""

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from oms.agent.templates import ovf_writing
from oms.agent.templates.appliance import Amount, Appliance, ForeignFormat, PackedDisk, PackedFile, PackedNic

OVF = Path(__file__).parent / "ovf"
MIB = 1024 * 1024
BLOCK = 512


def ovf_of(product: str, **values: object) -> bytes:
    """An .ovf as that product writes it."""
    text = (OVF / f"{product}.ovf").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text.encode()


def image(path: Path, packing: str = "vmdk", size_mb: int = 64, marks: Iterable[int] = (0, 1, 63)) -> Path:
    """A disk in that format, with a block written at the beginning of each of those megabytes."""
    raw = path.with_suffix(".made-raw")
    with raw.open("wb") as file:
        file.truncate(size_mb * MIB)
        for mark in marks:
            if mark < size_mb:
                file.seek(mark * MIB)
                file.write(bytes([mark % 255 + 1]) * 4096)
    options = ["-o", "subformat=streamOptimized"] if packing == "vmdk" else []
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", packing, *options, raw, path], check=True)
    raw.unlink()
    return path


def header(
    name: bytes, size: int = 0, kind: bytes = b"0", *, mode: int = 0o644, link: bytes = b"", raw_size: bytes = b""
) -> bytes:
    """A header of a tar member, by hand."""
    fields = [
        name[:100].ljust(100, b"\0"), b"%07o\0" % mode, b"%07o\0" % 0, b"%07o\0" % 0,
        raw_size or b"%011o\0" % size, b"%011o\0" % 0, b" " * 8, kind, link.ljust(100, b"\0"), b"ustar\x0000",
        b"root".ljust(32, b"\0"), b"root".ljust(32, b"\0"), b"%07o\0" % 0, b"%07o\0" % 0, bytes(155), bytes(12),
    ]  # fmt: skip
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def member(name: bytes, content: bytes = b"", kind: bytes = b"0", **fields: object) -> bytes:
    """A tar member, by hand."""
    filled = content + bytes(-len(content) % BLOCK)
    return header(name, len(content), kind, **fields) + filled  # type: ignore[arg-type]


def pax(**records: str) -> bytes:
    """The body of a pax header."""
    lines = b""
    for key, value in records.items():
        text = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(text) + 1
        while length != len(text) + len(str(length)):
            length = len(text) + len(str(length))
        lines += str(length).encode() + text
    return lines


def tar(path: Path, files: dict[str, bytes | Path]) -> Path:
    """An archive as an honest program makes it."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = content.stat().st_size if isinstance(content, Path) else len(content)
            if isinstance(content, Path):
                with content.open("rb") as file:
                    archive.addfile(info, file)
            else:
                archive.addfile(info, io.BytesIO(content))
    return path


def listing(files: dict[str, bytes | Path], algorithm: str = "SHA256") -> bytes:
    """A manifest."""
    lines = []
    for name, content in files.items():
        data = content.read_bytes() if isinstance(content, Path) else content
        lines.append(f"{algorithm}({name})= {hashlib.new(algorithm, data).hexdigest()}\n")
    return "".join(lines).encode()


def appliance(*disks: PackedDisk, **values: object) -> Appliance:
    """A small machine."""
    fields: dict[str, object] = {
        "name": "small",
        "vcpus": Amount(1, 1, 2),
        "memory_mb": Amount(64, 48, 256),
        "nics": (PackedNic("vmbr0"),),
        "files": tuple(dict.fromkeys(disk.file for disk in disks if disk.file)),
    }
    return Appliance(disks=disks, **(fields | values))  # type: ignore[arg-type]


def packed(
    name: str, file: Path, packing: ForeignFormat = "vmdk", size_mb: int = 64, *, gzip: bool = False
) -> PackedDisk:
    """A disk of a package, whose file is there."""
    return PackedDisk(f"id-{name}", PackedFile(name, file.stat().st_size, gzip), size_mb * MIB, packing)


def ova(path: Path, made: Appliance, files: dict[str, bytes | Path], *, manifest: bool = True) -> Path:
    """A whole package."""
    every: dict[str, bytes | Path] = {f"{path.stem}.ovf": ovf_writing.written(made), **files}
    beside: dict[str, bytes | Path] = {f"{path.stem}.mf": listing(every)} if manifest else {}
    first = next(iter(every))
    return tar(path, {first: every.pop(first), **beside, **every})


def small_template(templates: Path, name: str) -> Path:
    """A template of one small disk, unless it is there."""
    path = templates / f"{name}.ova"
    if not path.exists():
        disk = image(templates / f".{name}.vmdk", size_mb=8, marks=(0, 5))
        ova(path, appliance(packed("disk1.vmdk", disk, size_mb=8)), {"disk1.vmdk": disk})
        disk.unlink()
    return path
