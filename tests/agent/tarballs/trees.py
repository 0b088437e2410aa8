"""Directory trees for tests, whole systems as small as they can be, and what is seen of a tree."""

import gzip
import os
import stat
import struct
from pathlib import Path
from typing import Any

from oms.agent.guests.containers import IdRange
from oms.agent.tarballs import packing, scanning, unpacking
from oms.agent.tarballs.owners import Owners
from oms.agent.tarballs.streams import Packing
from tests.agent.templates.packages import member

FIRST = 700_000
SHIFTED = Owners((IdRange("user", 0, FIRST, 65536), IdRange("group", 0, FIRST, 65536)))
ROOM = 10**9
END = bytes(1024)
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry) for entry in [(1, 6, 2**32 - 1), (2, 4, 33), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1),
                                              (32, 0, 2**32 - 1)]
)  # fmt: skip


def nothing(_share: float) -> None:
    """Nobody wants to know how far it is."""


def system(path: Path, *members: bytes, end: bytes = END) -> Path:
    """An archive of a system with these members."""
    path.write_bytes(gzip.compress(member(b"./etc/", kind=b"5", mode=0o755) + b"".join(members) + end))
    return path


def scanned(path: Path, owners: Owners = SHIFTED, room: int = ROOM) -> scanning.Found:
    """What the archive holds."""
    file = os.open(path, os.O_RDONLY)
    try:
        return scanning.scan(file, owners, room, nothing)
    finally:
        os.close(file)


def unpacked(path: Path, target: Path, owners: Owners = SHIFTED) -> scanning.Found:
    """The same, and written out."""
    found = scanned(path, owners)
    target.mkdir()
    file, root = os.open(path, os.O_RDONLY), os.open(target, os.O_RDONLY)
    try:
        unpacking.unpack(file, found, root, owners, nothing)
    finally:
        os.close(file)
        os.close(root)
    return found


def packed(tree: Path, path: Path, owners: Owners = SHIFTED) -> packing.Packer:
    """An archive of a tree."""
    root = os.open(tree, os.O_RDONLY)
    try:
        with path.open("wb") as file:
            sink = Packing(file)
            packer = packing.Packer(sink, owners, packing.weigh(root, lambda: None), nothing)
            packer.text(b"metadata.yaml", b"architecture: x86_64\n")
            packer.tree(root, b"rootfs")
            sink.end()
    finally:
        os.close(root)
    return packer


def seen(tree: Path) -> dict[str, Any]:
    """All that can be told of a tree, by path; files that are one have one number."""
    numbers: dict[int, int] = {}
    found: dict[str, Any] = {}
    for directory, names, files in os.walk(tree):
        for name in (".", *sorted(names), *sorted(files)) if directory == str(tree) else sorted((*names, *files)):
            path = Path(directory, name)
            about = path.lstat()
            shared = about.st_nlink > 1 and path.is_file()
            attributes = os.listxattr(path, follow_symlinks=False)
            found[str(path.relative_to(tree))] = (
                stat.filemode(about.st_mode), about.st_uid, about.st_gid, about.st_mtime_ns,
                path.readlink() if path.is_symlink() else "",
                numbers.setdefault(about.st_ino, len(numbers)) if shared else -1,
                {attribute: os.getxattr(path, attribute, follow_symlinks=False) for attribute in attributes},
                path.read_bytes() if path.is_file() and not path.is_symlink() else b"",
            )  # fmt: skip
    return found


def wild(tree: Path) -> Path:
    """A tree with all that a system may have, owned as by a container whose users begin with FIRST."""
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (tree / "etc/long").symlink_to("x/" * 150)
    (tree / "etc/out").symlink_to("/etc/shadow")
    (tree / "etc/up").symlink_to("../../../../etc/shadow")
    deep = tree / "/".join(["a-directory-of-a-rather-long-name"] * 8)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(os.urandom(3000))
    (tree / "empty").touch()
    (tree / os.fsdecode(b"latin-\xe9\nline")).write_text("any bytes")
    (tree / "first").write_bytes(b"one file, two names")
    (tree / "second").hardlink_to(tree / "first")
    os.mkfifo(tree / "pipe", 0o640)
    with (tree / "holes").open("wb") as file:
        file.truncate(40 * 1024 * 1024)
        for place in (0, 1024 * 1024, 30 * 1024 * 1024):
            file.seek(place)
            file.write(b"data" * 2048)
    (tree / "only a hole").touch()
    os.truncate(tree / "only a hole", 10**7)
    (tree / "sbin").mkdir(mode=0o2755)
    (tree / "sbin/su").write_bytes(b"\x7fELF")
    (tree / "sbin/ping").write_bytes(b"\x7fELF")
    for number, path in enumerate(sorted(tree.rglob("*"))):
        os.chown(path, FIRST + number % 5, FIRST + 65535 - number % 5, follow_symlinks=False)
        os.utime(path, ns=(10**18 + number, 1_600_000_000_123_456_000 + number), follow_symlinks=False)
    os.chown(tree, FIRST, FIRST)
    (tree / "sbin/su").chmod(0o4755)
    (tree / "sbin").chmod(0o2755)
    capability = struct.pack("<6I", 0x03000001, 1 << 13, 0, 0, 0, FIRST)
    os.setxattr(tree / "sbin/ping", "security.capability", capability)
    os.setxattr(tree / "etc/passwd", "user.note", b"a\nb=c\0d")
    shifted = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, bits, who + FIRST if tag == 2 else who)
        for tag, bits, who in struct.iter_unpack("<HHI", ACL[4:])
    )
    os.setxattr(tree / "etc/passwd", "system.posix_acl_access", shifted)
    os.setxattr(tree / "etc", "system.posix_acl_default", shifted)
    os.utime(tree / "etc", ns=(10**18, 10**18))
    return tree
