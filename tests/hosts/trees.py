"""Directory trees as containers have them: made, and compared in all that a copy must keep."""

import os
import stat
import struct
import subprocess
from pathlib import Path
from typing import Any

from oms.agent.guests.containers import IdMap, IdRange, outside

CAPABILITY = "security.capability"
NET_RAW = 1 << 13


def ids(first: int) -> IdMap:
    """65536 ids from there on."""
    return (IdRange("user", 0, first, 65536), IdRange("group", 0, first, 65536))


def varied(tree: Path, mapped: IdMap) -> None:
    """Put one of everything in a tree, which belongs to the mapped root."""

    def give(path: Path, user: int = 0, group: int = 0) -> None:
        os.lchown(path, outside(mapped, "user", user), outside(mapped, "group", group))

    (tree / "etc").mkdir(exist_ok=True)
    (tree / "etc/plain").write_text("plain")
    (tree / "etc/linked").hardlink_to(tree / "etc/plain")
    (tree / "etc/pointer").symlink_to("/etc/passwd")
    (tree / "setuid").write_text("s")
    (tree / "sticky").mkdir()
    os.mkfifo(tree / "pipe")
    (tree / "capable").write_text("c")
    with (tree / "sparse").open("wb") as file:
        file.truncate(2 * 1024 * 1024)
    (tree / os.fsdecode(b"strange\nname \xff")).touch()
    for path in (tree, *tree.rglob("*")):
        give(path)
    give(tree / "setuid", 33, 44)
    (tree / "setuid").chmod(0o4755)  # after its owner: a change of that takes it away
    (tree / "sticky").chmod(0o1777)
    os.setxattr(tree / "setuid", "user.origin", b"here")
    root = outside(mapped, "user", 0)
    os.setxattr(tree / "capable", CAPABILITY, struct.pack("<6I", 0x03000001, NET_RAW, 0, 0, 0, root))


def seen(tree: Path, mapped: IdMap) -> dict[str, Any]:
    """Everything of each file that a copy must have, as its container sees it."""
    links: dict[int, str] = {}
    found: dict[str, Any] = {}
    for path in sorted(tree.rglob("*")):
        name, is_ = str(path.relative_to(tree)), path.lstat()
        first = links.setdefault(is_.st_ino, name)
        content: Any = path.readlink() if stat.S_ISLNK(is_.st_mode) else None
        if stat.S_ISREG(is_.st_mode):
            content = path.read_bytes()
        found[name] = {
            "mode": is_.st_mode,
            "owner": (_inside(mapped, "user", is_.st_uid), _inside(mapped, "group", is_.st_gid)),
            "changed": is_.st_mtime_ns if not stat.S_ISDIR(is_.st_mode) else 0,
            "content": content,
            "attributes": _attributes(path, mapped),
            "same as": first,
        }
    return found


def _inside(mapped: IdMap, kind: str, number: int) -> int | str:
    for part in mapped:
        if part.kind == kind and part.outside <= number < part.outside + part.count:
            return part.inside + number - part.outside
    return f"outside: {number}"


def _attributes(path: Path, mapped: IdMap) -> dict[str, bytes]:
    names = os.listxattr(path, follow_symlinks=False)
    values = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    if CAPABILITY in values:
        *words, root = struct.unpack("<6I", values[CAPABILITY])
        values[CAPABILITY] = struct.pack("<5I", *words) + str(_inside(mapped, "user", root)).encode()
    return values


def disk_use_kb(path: Path) -> int:
    """What it takes on the disk."""
    return int(subprocess.check_output(["du", "-sk", path]).split()[0])
