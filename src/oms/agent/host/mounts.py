"""The file systems on this host's own disks, and how full they are.

What lies on the network is never looked at, nor what has no disk, but for the root itself.
"""

import contextlib
import os
import re
from pathlib import Path

import msgspec

MOUNTS, KINDS = Path("/proc/self/mountinfo"), Path("/proc/filesystems")
READ_ONLY_IMAGES = frozenset({"squashfs", "iso9660", "udf", "erofs", "cramfs"})
"""Always full, and nobody's trouble."""
ON_DISKS_OF_THEIR_OWN = frozenset({"zfs", "bcachefs"})
"""These say of themselves that they are on no device."""
CONTAINERS_OWN = re.compile(r"/dev/loop\d+ .*/rootfs")
"""An image that is a container's root file system: what the container has, on a file system that is told of
already."""
OVER_THE_NETWORK = re.compile(r"(?:nfs|cifs|smb|ceph|gluster|ocfs|gfs2|9p|afs|fuse\.)")


class Mount(msgspec.Struct, frozen=True):
    """Where a file system is, and on what."""

    point: str
    device: str


class Usage(msgspec.Struct, frozen=True):
    """How full one is. KB; `free_kb` is what may be used without being root."""

    mount: Mount
    total_kb: int
    used_kb: int
    free_kb: int


def own(mounts: str, kinds: str) -> tuple[Mount, ...]:
    """Each file system once, where it is mounted first, whole where it can be: of the text of `mountinfo`, and the
    kinds of file systems that the kernel knows."""
    disks = {line.strip() for line in kinds.splitlines() if not line.startswith("nodev")} | ON_DISKS_OF_THEIR_OWN
    found: dict[str, tuple[bool, Mount]] = {}
    for line in mounts.splitlines():
        words, _, about = line.partition(" - ")
        _id, _parent, number, part, point, *_ = words.split(" ")
        kind, device, *_ = about.split(" ")
        mount = Mount(_plain(point), _plain(device))
        if kind not in disks - READ_ONLY_IMAGES and not _root(mount.point, kind):
            continue
        if CONTAINERS_OWN.fullmatch(f"{mount.device} {mount.point}"):
            continue
        whole = part == "/"
        if number not in found or (whole and not found[number][0]):
            found[number] = whole, mount
    return tuple(sorted((mount for _, mount in found.values()), key=lambda mount: mount.point))


def _root(point: str, kind: str) -> bool:
    return point == "/" and not OVER_THE_NETWORK.match(kind) and kind != "rootfs"


def _plain(word: str) -> str:
    """The kernel writes blanks and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def here() -> tuple[Mount, ...]:
    """Those of this host now; none of them is touched. Raises OSError."""
    return own(MOUNTS.read_text(), KINDS.read_text())


def usage(mount: Mount) -> Usage | None:
    """How full it is; None where it cannot be told. Waits for as long as its disk makes it."""
    with contextlib.suppress(OSError):
        found = os.statvfs(mount.point)
        used, free = found.f_blocks - found.f_bfree, found.f_bavail
        return Usage(mount, *(blocks * found.f_frsize // 1024 for blocks in (found.f_blocks, used, free)))
    return None
