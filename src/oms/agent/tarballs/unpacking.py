"""The system in an archive, written into a directory of ours, for containers whose users have other numbers here.

The same rules admit each entry that judged the archive before, so what was put in its place meanwhile is held to
them too. All is written relative to the open directory, in which nobody but us makes anything, and of whose
entries no link is ever followed.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Final

from oms.agent.host.stoppable import Progress
from oms.agent.tarballs import attributes
from oms.agent.tarballs.members import Archive
from oms.agent.tarballs.owners import Owners
from oms.agent.tarballs.rules import Entry, Rules
from oms.agent.tarballs.scanning import Found, entries
from oms.agent.tarballs.streams import reading
from oms.agent.templates.appliance import BadPackage

NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PARENT = 0o755


def unpack(file: int, found: Found, root: int, owners: Owners, progress: Progress) -> None:
    """Write it into `root`, an open empty directory. Raises BadPackage, OSError; then some of it is written."""
    writer = Writer(root, owners)
    with reading(file, progress) as stream:
        archive = Archive(stream)
        for entry in entries(archive, Rules(owners, found.needed_bytes), found.prefix):
            writer.write(entry, archive.pieces() if entry.kind == "file" else ())
    writer.finish()


class Writer:
    """Writes entries into an open directory."""

    def __init__(self, root: int, owners: Owners) -> None:
        self._root, self._owners = root, owners
        self._directories: dict[bytes, Entry] = {}

    def write(self, entry: Entry, pieces: Iterable[tuple[int, bytes]]) -> None:
        """One entry, in the order of the archive. Raises OSError."""
        if entry.kind == "directory":
            self._directory(entry)
            return
        self._parent(entry.name)
        if entry.kind == "file":
            self._file(entry, pieces)
        elif entry.kind == "hardlink":
            os.link(entry.link, entry.name, src_dir_fd=self._root, dst_dir_fd=self._root, follow_symlinks=False)
        elif entry.kind == "symlink":
            os.symlink(entry.link, entry.name, dir_fd=self._root)
            self._own(entry)
        else:
            os.mkfifo(entry.name, 0o600, dir_fd=self._root)
            self._own(entry)
            os.chmod(entry.name, entry.mode, dir_fd=self._root)  # what was made here is no link

    def finish(self) -> None:
        """Directories get their owners, modes and times last: all that comes into one changes its time. Raises
        OSError."""
        for name in sorted(self._directories, key=lambda name: name.count(b"/"), reverse=True):
            with self._opened(name or b".", DIRECTORY) as directory:
                self._settle(directory, self._directories[name])

    def _directory(self, entry: Entry) -> None:
        if entry.name and entry.name not in self._directories:
            self._parent(entry.name)
            os.mkdir(entry.name, 0o700, dir_fd=self._root)
        self._directories[entry.name] = entry

    def _parent(self, name: bytes) -> None:
        """Directories that the archive does not have as members of their own."""
        parent = name.rpartition(b"/")[0]
        if parent and parent not in self._directories:
            self._directory(Entry(parent, "directory", PARENT, 0, 0, 0))

    def _file(self, entry: Entry, pieces: Iterable[tuple[int, bytes]]) -> None:
        with self._opened(entry.name, NEW) as file:
            end = 0
            for offset, piece in pieces:
                _write_all(file, piece, offset)
                end = offset + len(piece)
            if end != entry.size:
                os.ftruncate(file, entry.size)
            self._settle(file, entry)

    def _settle(self, file: int, entry: Entry) -> None:
        """Owner before mode before attributes: each takes from the next what would be too much."""
        os.fchown(file, *self._owners_of(entry))
        os.fchmod(file, entry.mode)
        for name, value in entry.attributes.items():
            os.setxattr(file, name, attributes.to_disk(name, value, self._owners))
        os.utime(file, ns=(entry.time_ns, entry.time_ns))

    def _own(self, entry: Entry) -> None:
        os.chown(entry.name, *self._owners_of(entry), dir_fd=self._root, follow_symlinks=False)
        times = (entry.time_ns, entry.time_ns)
        os.utime(entry.name, ns=times, dir_fd=self._root, follow_symlinks=False)

    def _owners_of(self, entry: Entry) -> tuple[int, int]:
        user, group = self._owners.user(entry.uid), self._owners.group(entry.gid)
        if user is None or group is None:
            raise BadPackage("a file in it belongs to somebody whom its container does not have")
        return user, group

    @contextlib.contextmanager
    def _opened(self, name: bytes, flags: int) -> Iterator[int]:
        file = os.open(name, flags, 0o600, dir_fd=self._root)
        try:
            yield file
        finally:
            os.close(file)


def _write_all(file: int, piece: bytes, offset: int) -> None:
    done = 0
    while done < len(piece):
        done += os.pwrite(file, memoryview(piece)[done:], offset + done)
