"""Who the signer is: an account that nobody else uses, taken on for good, and memory that nobody else reads."""

import contextlib
import ctypes
import os
import pwd
import re
import resource
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2
PR_SET_DUMPABLE = 4

_NUMBERS = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?")


class CannotStart(Exception):
    """The signer cannot start; the text tells a person what to do."""


class AccountError(CannotStart):
    """There is no such account, or it cannot be taken on."""


@dataclass(frozen=True)
class Account:
    """A user and the group that goes with it, as numbers."""

    uid: int
    gid: int


def account(text: str) -> Account:
    """The account called `name`, `uid` or `uid:gid`. A bare uid that has no name has itself as its group."""
    numbers = _NUMBERS.fullmatch(text)
    if numbers:
        uid = int(numbers[1])
        gid = int(numbers[2]) if numbers[2] else _group(uid)
        # The last number means "as it is" to the kernel: whoever took it on would stay root.
        if max(uid, gid) < 2**32 - 1:
            return Account(uid, gid)
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam(text)
        return Account(entry.pw_uid, entry.pw_gid)
    raise AccountError(f"There is no user {text!a} on this machine: give a user's name, a uid, or uid:gid.")


def myself() -> Account:
    """The account that this process has now."""
    return Account(os.geteuid(), os.getegid())


def hand_over(directory: Path, owner: Account) -> None:
    """Makes the directory (0700) and the plain files in it the owner's. Needs root.

    The directory may have been the owner's before, so nothing in it is followed: links are left as they are.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        with _opened(directory, os.O_DIRECTORY) as handle:
            for entry in list(directory.iterdir()):
                _hand_over_file(entry.name, handle, owner)
            os.fchmod(handle, 0o700)
            os.fchown(handle, owner.uid, owner.gid)
    except OSError as error:
        raise AccountError(f"{directory} cannot be given to the signer's user: {error.strerror}.") from error


def become(owner: Account) -> None:
    """Gives up being root for good. `AccountError` unless this process is root or the owner already."""
    if os.getresuid() == (owner.uid,) * 3 and owner.uid != 0:
        return
    if os.geteuid() != 0:
        raise AccountError(f"Only root can become the user with uid {owner.uid}: start the signer as root.")
    if owner.uid == 0:
        raise AccountError("The signer's user must not be root: name an account of its own.")
    with _ending_with_its_parent():
        os.setgroups([])
        os.setresgid(owner.gid, owner.gid, owner.gid)
        os.setresuid(owner.uid, owner.uid, owner.uid)


def seal() -> None:
    """Closes this process's memory: no core dumps, and no looking in, not even by the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0, "this process's memory could not be closed")


@contextlib.contextmanager
def _ending_with_its_parent() -> Iterator[None]:
    """Keep what the kernel forgets when a process becomes another user: whether it ends with its parent."""
    parent, number = os.getppid(), ctypes.c_int()
    _prctl(PR_GET_PDEATHSIG, ctypes.addressof(number), "the parent's death signal cannot be asked for")
    yield
    _prctl(PR_SET_PDEATHSIG, number.value, "the parent's death signal cannot be set again")
    if number.value and os.getppid() != parent:
        raise AccountError("Whoever started the signer has ended meanwhile.")


def _prctl(option: int, argument: int, failed: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), failed)


def _hand_over_file(name: str, directory: int, owner: Account) -> None:
    """A link is not opened (ELOOP), and a file that has a second name elsewhere stays whose it is."""
    with contextlib.suppress(OSError), _opened(name, os.O_NONBLOCK, directory) as file:
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            os.fchown(file, owner.uid, owner.gid)


def _group(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except (KeyError, OverflowError):
        return uid


@contextlib.contextmanager
def _opened(path: Path | str, flags: int, directory: int | None = None) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=directory)
    try:
        yield handle
    finally:
        os.close(handle)
