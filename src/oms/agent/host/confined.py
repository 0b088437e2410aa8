"""A program that sees one directory tree and next to nothing else; run as a process of its own, by `argv`.

It is the root of a user namespace whose ids are some unprivileged ids of the host, so what it writes belongs to
those, and what it may do it may do to those alone. Its root directory holds the tree at `/tree` and the host's
programs and libraries, so no path and no symbolic link leads to anything else; it has no network and sees no
process. That is for programs that speak with a host which may be hostile, about files which may be.

The process that is started stays outside, has the kernel map the ids, and ends as the program does.
"""

import argparse
import contextlib
import ctypes
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, Protocol

TREE = "/tree"
"""Where the program finds the tree."""
FAILED = 125
"""Exit status where the confinement could not be built; stderr says why."""
_STAGE = "/tmp"  # noqa: S108 - a mount point that every host has, covered by a file system of our own
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib64")
_NEW = 0x10000000 | 0x20000 | 0x40000000 | 0x8000000 | 0x4000000 | 0x20000000  # user, mount, net, ipc, uts, pid
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_KEPT = (0, 1, 2, 3, 4, 6, 7, 31)  # chown, dac_override, dac_read_search, fowner, fsetid, setgid, setuid, setfcap
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_libc = ctypes.CDLL(None, use_errno=True)


class Range(Protocol):
    """Ids that follow each other: `count` from `inside` on are those from `outside` on, as the host has them."""

    @property
    def kind(self) -> Literal["user", "group"]:
        """Whose."""

    @property
    def inside(self) -> int:
        """The first, for the program."""

    @property
    def outside(self) -> int:
        """The same, for the host."""

    @property
    def count(self) -> int:
        """How many."""


def argv(tree: Path, ids: Iterable[Range], program: Sequence[str]) -> list[str]:
    """The words that run `program` (a path below /usr or /bin) confined to `tree`, with these ids alone."""
    mapped = [f"--{part.kind}={part.inside}:{part.outside}:{part.count}" for part in ids]
    return [sys.executable, "-I", __file__, f"--tree={tree}", *mapped, "--", *program]


def _main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tree", required=True)
    parser.add_argument("--user", action="append", required=True)
    parser.add_argument("--group", action="append", required=True)
    parser.add_argument("program", nargs="+")
    given = parser.parse_args()
    try:
        _die_with_parent()
        os.chdir(given.tree)
        return _outside({"uid_map": _map(given.user), "gid_map": _map(given.group)}, given.program)
    except OSError as error:
        sys.stderr.write(f"cannot confine a program to a directory here: {error}\n")
        return FAILED


def _map(words: list[str]) -> str:
    return "".join(f"{word.replace(':', ' ')}\n" for word in words)


def _outside(maps: dict[str, str], program: list[str]) -> int:
    """Make the one inside, map its ids once it has its namespaces, and wait for it."""
    ready, go = os.pipe(), os.pipe()
    inside = os.fork()
    if not inside:
        os.close(ready[0])
        os.close(go[1])
        _leave(_inside, ready[1], go[0], program)
    os.close(ready[1])
    os.close(go[0])
    if os.read(ready[0], 1):
        for name, ids in maps.items():
            Path(f"/proc/{inside}/{name}").write_text(ids, encoding="ascii")
        os.write(go[1], b"g")
    os.close(go[1])
    return os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1])


def _inside(ready: int, go: int, program: list[str]) -> int:
    _die_with_parent()
    _checked(_libc.unshare(_NEW))
    os.write(ready, b"r")
    os.close(ready)
    if not os.read(go, 1):
        return FAILED
    os.close(go)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    _die_with_parent()  # which the change of user has forgotten
    child = os.fork()  # the first process of the new process namespace
    if not child:
        _leave(_run, program)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(program: list[str]) -> NoReturn:
    _die_with_parent()
    _build_root()
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        if capability not in _KEPT:
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.execv(program[0], program)  # noqa: S606 - an argument list of ours, never a shell's words


def _build_root() -> None:
    """From here on `/` holds the tree, the host's programs and libraries, and `/dev/null`."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    system = [name for name in _SYSTEM if Path("/", name).exists()]
    _mount("oms", _STAGE, "tmpfs", 0)
    Path(f"{_STAGE}/dev").mkdir()
    Path(f"{_STAGE}/dev/null").touch()
    _mount("/dev/null", f"{_STAGE}/dev/null", None, _MS_BIND)
    for name in system:
        link, place = Path("/", name), Path(_STAGE, name)
        if link.is_symlink():
            place.symlink_to(link.readlink())
        else:
            place.mkdir()
            _mount(str(link), str(place), None, _MS_BIND | _MS_REC)
    Path(f"{_STAGE}{TREE}").mkdir()
    _mount(".", f"{_STAGE}{TREE}", None, _MS_BIND | _MS_REC)
    os.chdir(_STAGE)
    _checked(_libc.syscall(_PIVOT_ROOT[platform.machine()], b".", b"."))
    _checked(_libc.umount2(b".", _MNT_DETACH))
    os.chdir(TREE)


def _leave(work: Callable[..., int], *args: Any) -> NoReturn:
    """What a forked process does, and nothing after it."""
    status = FAILED
    try:
        status = work(*args)
    except (OSError, KeyError) as error:
        sys.stderr.write(f"cannot confine a program to a directory here: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(status if status >= 0 else 128 - status)


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind)]
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), None))


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _checked(answer: int) -> None:
    if answer:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(_main())
