"""Where container templates lie, and which there are.

An archive `NAME.tar.gz` (.xz, .zst) of a root file system, alone or as LXD and Incus pack it, with a `NAME.ovf`
beside it that says what its container needs; or a directory NAME with a `rootfs.tar.xz`, as image servers of LXC
have it, and an .ovf in it. How an archive is packed is told by its content; what OMS puts there is `NAME.tar`.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import msgspec

from oms.agent import placing
from oms.agent.context import Job
from oms.agent.host.stoppable import in_thread
from oms.agent.templates import ovf, words
from oms.agent.templates.appliance import Appliance, BadPackage
from oms.contract.errors import FuncManError
from oms.contract.kvm.templates import TemplateName

OURS: Final = ".tar"
ENDINGS: Final = (".tar.zst", ".tar.xz", ".tar.gz", ".tgz", OURS)
INSIDE: Final = "rootfs"
DESCRIPTOR: Final = ".ovf"
KEY_DIGITS: Final = 16
OPENED: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Template(msgspec.Struct, frozen=True):
    """A template, open. `key` tells this content of it from any other; `beside` is what an .ovf beside it says."""

    name: str
    key: str
    file: int
    beside: Appliance | None


def names(directory: Path) -> list[str]:
    """The templates there, by name. Raises OSError."""
    return sorted({name for entry in os.scandir(directory) if (name := _name(entry))})


def places(directory: Path, name: str) -> list[Path]:
    """All that a template of that name can lie in, its description last."""
    return [
        *(directory / f"{name}{ending}" for ending in ENDINGS),
        directory / name,
        directory / (name + DESCRIPTOR),
    ]


def taken(directory: Path, name: str) -> bool:
    """Whether there is a template of that name in whatever form."""
    return any(os.path.lexists(place) for place in places(directory, name)[:-1])


def refuse_taken(job: Job, name: str, target: Path) -> None:
    """See that no template of that name is there in whatever form, but the archive that this job has placed.
    Raises AlreadyThere."""
    if taken(target.parent, name) and not placing.is_placed(job, target):
        raise words.taken(name)


@contextlib.asynccontextmanager
async def opened(directory: Path, name: str) -> AsyncIterator[Template]:
    """The template of that name, open. Raises NotThere, Unusable, FuncManError."""
    with contextlib.ExitStack() as files:
        try:
            yield await in_thread(lambda _go_on: _open(directory, name, files))
        except BadPackage as bad:
            raise words.unusable(name, bad) from bad


def archive_of(directory: Path, name: str) -> Path:
    """The archive of a template, wherever it is. Raises NotThere."""
    for path in _archives(directory, name):
        if stat.S_ISREG(_mode(path)):
            return path
    raise words.not_there(name)


def _archives(directory: Path, name: str) -> Iterator[Path]:
    yield from (directory / f"{name}{ending}" for ending in ENDINGS)
    if stat.S_ISDIR(_mode(directory / name)):
        yield from (directory / name / f"{INSIDE}{ending}" for ending in ENDINGS)


def _open(directory: Path, name: str, files: contextlib.ExitStack) -> Template:
    try:
        path = archive_of(directory, name)
        file = _regular(path, files)
        described = _descriptor(directory, name, path)
        beside = None
        if described is not None:
            text = _regular(described, files)
            beside = ovf.read(os.pread(text, ovf.LARGEST_BYTES + 1, 0))
            return Template(name, _key(file, text), file, beside)
        return Template(name, _key(file), file, None)
    except OSError as error:
        raise FuncManError(f"Template {name!r} cannot be read on this host: {error.strerror}") from error


def _descriptor(directory: Path, name: str, archive: Path) -> Path | None:
    if archive.parent == directory:
        beside = directory / (name + DESCRIPTOR)
        return beside if stat.S_ISREG(_mode(beside)) else None
    found = [path for path in archive.parent.iterdir() if path.name.lower().endswith(DESCRIPTOR)]
    if len(found) > 1:
        raise BadPackage(f"it has {len(found)} files with the ending {DESCRIPTOR}; legal is one at most")
    return found[0] if found else None


def _regular(path: Path, files: contextlib.ExitStack) -> int:
    file = os.open(path, OPENED)
    files.callback(os.close, file)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise BadPackage("one of its files is no regular file")
    return file


def _key(*files: int) -> str:
    found = [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in map(os.fstat, files)]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:KEY_DIGITS]


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _name(entry: "os.DirEntry[str]") -> str:
    """What a template is called that lies there; "" where none does."""
    name = ""
    if entry.is_file(follow_symlinks=False):
        name = next((entry.name.removesuffix(e) for e in ENDINGS if entry.name.endswith(e)), "")
    elif entry.is_dir(follow_symlinks=False):
        name = entry.name if any(stat.S_ISREG(_mode(Path(entry, INSIDE + e))) for e in ENDINGS) else ""
    try:
        return msgspec.convert(name, TemplateName)
    except msgspec.ValidationError:
        return ""
