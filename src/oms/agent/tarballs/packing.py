"""A directory tree of a container put into an archive, with all that its container sees of it.

The tree belongs to strangers: directories are gone into one by one, each opened in the one before, and no link is
followed. Nothing must change in it meanwhile. What cannot be in an archive (sockets), what no template may have
(devices), and what is mounted into the tree is left out.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from oms.agent.host.stoppable import Progress
from oms.agent.tarballs import attributes, writing
from oms.agent.tarballs.headers import shown, text
from oms.agent.tarballs.members import Extents
from oms.agent.tarballs.owners import Owners
from oms.agent.tarballs.rules import LONGEST_PATH, MOST_DEEP, Entry, EntryKind
from oms.agent.tarballs.streams import PIECE, Sink
from oms.contract.errors import FuncManError

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DISK_BLOCK: Final = 512
NONE_THERE: Final = (errno.ENOTSUP, errno.ENODATA)
KINDS: Final[dict[int, EntryKind]] = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "pipe",
}  # fmt: skip


class Weight(msgspec.Struct, frozen=True):
    """What a tree holds, in entries, and bytes on its disk."""

    entries: int
    bytes: int


def weigh(root: int, go_on: Callable[[], None]) -> Weight:
    """How much there is to pack below an open directory. Raises OSError."""
    entries = taken = 0
    for _, _, found in _walk(root, os.fstat(root).st_dev):
        go_on()
        entries, taken = entries + 1, taken + found.st_blocks * DISK_BLOCK
    return Weight(entries, taken)


class Packer:
    """Packs trees of one container into a sink."""

    def __init__(self, sink: Sink, owners: Owners, weight: Weight, progress: Progress) -> None:
        self._sink, self._owners = sink, owners
        self._whole, self._done, self._progress = max(weight.bytes + weight.entries, 1), 0, progress
        self._first_names: dict[int, bytes] = {}
        self.left_out = 0

    def text(self, name: bytes, content: bytes) -> None:
        """A file that is made here."""
        extents = ((0, len(content)),)
        self._sink.write(writing.header(Entry(name, "file", 0o644, 0, 0, 0, len(content), extents=extents)))
        self._sink.write(content + writing.padding(len(content)))

    def tree(self, root: int, prefix: bytes) -> None:
        """All that is below an open directory, and itself, under names that begin so. Raises OSError,
        FuncManError."""
        found = os.fstat(root)
        self._entry(self._described(prefix, found, root, b"."), root, b".")
        for directory, path, found_below in _walk(root, found.st_dev):
            name = path.rpartition(b"/")[2]
            self._entry(self._described(prefix + b"/" + path, found_below, directory, name), directory, name)
        self._sink.write(writing.END)

    def _entry(self, entry: Entry | None, directory: int, own_name: bytes) -> None:
        self._done += 1
        self._progress(min(self._done / self._whole, 1.0))
        if entry is None:
            return
        if entry.kind == "file":
            self._file(entry, directory, own_name)
        else:
            self._sink.write(writing.header(entry))

    def _described(self, name: bytes, found: os.stat_result, directory: int, own_name: bytes) -> Entry | None:
        kind = KINDS.get(stat.S_IFMT(found.st_mode))
        if kind is None or found.st_dev != os.fstat(directory).st_dev:
            self.left_out += 1
            return None
        if len(name) > LONGEST_PATH or name.count(b"/") > MOST_DEEP:
            raise FuncManError(
                f"A path in the container is longer than {LONGEST_PATH} bytes or {MOST_DEEP} directories: "
                f"{shown(text(name))}. Nothing was made"
            )
        user, group = self._owners.user_inside(found.st_uid), self._owners.group_inside(found.st_gid)
        if user is None or group is None:
            raise FuncManError(
                f"A file of the container, {shown(text(name))}, belongs to "
                f"{found.st_uid}:{found.st_gid} of the host, whom the container does not have: nothing was made"
            )
        link = os.readlink(own_name, dir_fd=directory) if kind == "symlink" else b""
        if kind != "directory" and found.st_nlink > 1:
            first = self._first_names.setdefault(found.st_ino, name)
            if first != name:
                kind, link = "hardlink", first
        return Entry(
            name=name, kind=kind, mode=stat.S_IMODE(found.st_mode), uid=user, gid=group, link=link,
            time_ns=max(found.st_mtime_ns, 0), attributes=self._attributes(kind, directory, own_name),
        )  # fmt: skip

    def _attributes(self, kind: EntryKind, directory: int, name: bytes) -> dict[str, bytes]:
        """Only files and directories have any that a container could have given."""
        if kind not in ("file", "directory"):
            return {}
        file = os.open(name, FILE, dir_fd=directory)
        try:
            return _attributes(file, self._owners)
        finally:
            os.close(file)

    def _file(self, entry: Entry, directory: int, name: bytes) -> None:
        file = os.open(name, FILE, dir_fd=directory)
        try:
            found = os.fstat(file)
            extents = _extents(file, found)
            self._sink.write(writing.header(msgspec.structs.replace(entry, size=found.st_size, extents=extents)))
            for offset, length in extents:
                self._content(file, offset, length)
            self._sink.write(writing.padding(sum(length for _, length in extents)))
        finally:
            os.close(file)

    def _content(self, file: int, offset: int, length: int) -> None:
        done = 0
        while done < length:
            piece = os.pread(file, min(PIECE, length - done), offset + done)
            piece = piece or bytes(min(PIECE, length - done))  # it became shorter: its size is in its header
            self._sink.write(piece)
            done += len(piece)
            self._done += len(piece)
            self._progress(min(self._done / self._whole, 1.0))


def _walk(root: int, device: int) -> Iterator[tuple[int, bytes, os.stat_result]]:
    """All that is below a directory, each before what is in it: the open directory it is in, its path, and what it
    is. Mounts are not gone into."""
    waiting: list[tuple[bytes, list[bytes]]] = [(b"", _names(root))]
    opened = [os.dup(root)]
    try:
        while waiting:
            path, names = waiting[-1]
            if not names:
                waiting.pop()
                os.close(opened.pop())
                continue
            name = names.pop()
            found = os.stat(name, dir_fd=opened[-1], follow_symlinks=False)
            whole = path + b"/" + name if path else name
            yield opened[-1], whole, found
            if stat.S_ISDIR(found.st_mode) and found.st_dev == device and len(opened) <= MOST_DEEP:
                opened.append(os.open(name, DIRECTORY, dir_fd=opened[-1]))
                waiting.append((whole, _names(opened[-1])))
    finally:
        for directory in opened:
            os.close(directory)


def _names(directory: int) -> list[bytes]:
    """Backwards, to be taken from the end."""
    return sorted((os.fsencode(name) for name in os.listdir(directory)), reverse=True)


def _attributes(file: int, owners: Owners) -> dict[str, bytes]:
    try:
        names = os.listxattr(file)
    except OSError as error:
        if error.errno in NONE_THERE:
            return {}
        raise
    values = {name: attributes.from_disk(name, os.getxattr(file, name), owners) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _extents(file: int, found: os.stat_result) -> Extents:
    """Where the data of a file are."""
    size = found.st_size
    if found.st_blocks * DISK_BLOCK >= size:
        return ((0, size),) if size else ()
    extents, place = [], 0
    while place < size:
        try:
            start = os.lseek(file, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        place = min(os.lseek(file, start, os.SEEK_HOLE), size)
        extents.append((start, place - start))
    return tuple(extents)
