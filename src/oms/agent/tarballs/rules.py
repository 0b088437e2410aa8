"""What a root file system in an archive may hold. Pure: members go in, entries or refusals come out.

What is admitted can be written into an empty directory one after another by plain names: no name leads out of it
or through a link, nothing is there twice, and nobody owns it whom the container does not have. Programs may be
set-uid: to the container's users, who are nobody here; the directory is closed to everybody else all the same.
Any bytes may stand in a name, as on any Linux; they are never shown as they are.
"""

from typing import Final, Literal

import msgspec

from oms.agent.tarballs import attributes
from oms.agent.tarballs.headers import shown, text
from oms.agent.tarballs.members import Extents, Member
from oms.agent.tarballs.owners import Owners
from oms.agent.templates.appliance import BadPackage
from oms.contract.errors import NoSpace

MOST_ENTRIES: Final = 1_000_000
MOST_NAMES_BYTES: Final = 128 * 1024 * 1024
LONGEST_PATH, LONGEST_PART = 4000, 255
MOST_DEEP: Final = 256
"""Directories in directories."""
LONGEST_LINK: Final = 4095
LARGEST_FILE: Final = 4 * 1024**4
"""Bytes that a file may say it has, holes included; more is made to break whatever copies it without them."""
ROOM_PER_ENTRY: Final = 4096
"""What a name takes on a disk, a file's last block included: a bound, not a measure."""
DEVICES: Final = (b"dev", b"lib/udev/devices", b"usr/lib/udev/devices", b"etc/udev/devices")
"""Where systems keep devices. They are passed over: a container has those that its host gives it."""

EntryKind = Literal["file", "directory", "symlink", "hardlink", "pipe"]


class Entry(msgspec.Struct, frozen=True):
    """Something to be written. `name` is a plain path, b"" for all of it; so is the `link` of a hard link."""

    name: bytes
    kind: EntryKind
    mode: int
    uid: int
    gid: int
    time_ns: int
    size: int = 0
    link: bytes = b""
    extents: Extents = ()
    attributes: dict[str, bytes] = {}


class Rules:
    """Admits the members of one archive in their order, and remembers them."""

    def __init__(self, owners: Owners, room_bytes: int) -> None:
        self._owners = owners
        self.room_bytes = room_bytes
        self.needed_bytes = 0
        self.devices = 0
        self._names_bytes = 0
        self._kinds: dict[bytes, EntryKind | Literal["device", "parent"]] = {}

    def kind(self, name: bytes) -> str:
        """What was admitted under a name; "" where nothing was."""
        return self._kinds.get(name, "")

    def admit(self, member: Member) -> Entry | None:
        """The entry, or None for a device, of which nothing is made. Raises BadPackage, NoSpace."""
        words = shown(text(member.name))
        name = _plain(member.name, words)
        self._count(name, member, words)
        self._check_place(name, member, words)
        if member.kind == "device":
            self._device(name, words)
            return None
        if self._owners.user(member.uid) is None or self._owners.group(member.gid) is None:
            owner = f"{member.uid}:{member.gid}"
            raise BadPackage(f"its member {words} belongs to {owner}, whom no container on this host has")
        link = self._link(member, words)
        self._kinds[name] = self._kinds[link] if member.kind == "hardlink" else member.kind
        if member.kind == "hardlink" and self._kinds[name] == "device":
            return None
        if member.size > LARGEST_FILE:
            raise BadPackage(f"its member {words} is a file of {member.size} bytes; {LARGEST_FILE} are legal")
        return Entry(
            name=name,
            kind=member.kind,
            mode=member.mode & 0o7777,
            uid=member.uid,
            gid=member.gid,
            time_ns=member.time_ns,
            size=member.size,
            link=link,
            extents=member.extents,
            attributes=attributes.of_member(member.pax, text(member.name)),
        )

    def _count(self, name: bytes, member: Member, words: str) -> None:
        self._names_bytes += len(name)
        self.needed_bytes += member.stored + ROOM_PER_ENTRY
        if len(self._kinds) >= MOST_ENTRIES or self._names_bytes > MOST_NAMES_BYTES:
            raise BadPackage(f"it has more than {MOST_ENTRIES} files, or names longer than those of any system")
        if self.needed_bytes > self.room_bytes:
            raise NoSpace(
                f"The archive, up to its member {words}, needs more room than the {self.room_bytes} bytes that "
                "there are for it: nothing was changed",
                wanted_bytes=self.needed_bytes,
                free_bytes=self.room_bytes,
            )

    def _check_place(self, name: bytes, member: Member, words: str) -> None:
        known = self._kinds.get(name)
        if known is not None and not (known == "parent" and member.kind == "directory"):
            raise BadPackage(f"its member {words} is there twice")
        if not name and member.kind != "directory":
            raise BadPackage(f"its member {words} is in place of the whole, and no directory")
        parent = name.rpartition(b"/")[0]
        while parent:
            kind = self._kinds.setdefault(parent, "parent")
            if kind not in ("directory", "parent"):
                raise BadPackage(f"its member {words} lies beyond {shown(text(parent))}, which is no directory")
            if kind == "directory":
                return
            parent = parent.rpartition(b"/")[0]

    def _device(self, name: bytes, words: str) -> None:
        plain = name.removeprefix(b"rootfs/")
        if not any(plain.startswith(place + b"/") for place in DEVICES):
            raise BadPackage(f"its member {words} is a device; legal are those in /dev, of which none is made")
        self._kinds[name] = "device"
        self.devices += 1

    def _link(self, member: Member, words: str) -> bytes:
        if member.kind == "symlink":
            if not 0 < len(member.link) <= LONGEST_LINK or b"\0" in member.link:
                raise BadPackage(f"its member {words} is a link that leads nowhere")
            return member.link
        if member.kind != "hardlink":
            return b""
        target = _plain(member.link, shown(text(member.link)))
        if self._kinds.get(target) not in ("file", "symlink", "pipe", "device"):
            raise BadPackage(
                f"its member {words} is a second name of {shown(text(target))}, which is not before it"
            )
        return target


def _plain(name: bytes, words: str) -> bytes:
    """A name without what says nothing. Raises BadPackage where it leads out, or is none."""
    if name.startswith(b"/"):
        raise BadPackage(f"its member {words} is named from the root of the host; legal are names within it")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise BadPackage(f"its member {words} leads out of it")
    plain = b"/".join(parts)
    if len(parts) > MOST_DEEP:
        raise BadPackage(f"its member {words} lies more than {MOST_DEEP} directories deep")
    if b"\0" in plain or len(plain) > LONGEST_PATH or any(len(part) > LONGEST_PART for part in parts):
        raise BadPackage(f"its member {words} has a name that no file can have")
    if not name:
        raise BadPackage("one of its members has no name")
    return plain
