"""Passwords: argon2id, at most two at once, and the same work for a user that does not exist."""

import asyncio
import contextlib
import ctypes
import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from oms.contract.auth import LoginsBusy

_M_MMAP_THRESHOLD, LARGE_BYTES = -3, 1024 * 1024
with contextlib.suppress(AttributeError):  # a C library other than glibc
    # glibc would keep the memory of one hash for the next: 19 MiB for each thread, for ever. Now it is given back.
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # 36 ms, 19 MiB
_threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")  # more at once would make logins a way to stop us
_nobody = _hasher.hash(secrets.token_hex(20))
MOST_WAITING = 48
"""Logins whose password is being looked at or waits for that: the last of them waits about a second."""
MOST_OF_ONE_ADDRESS = 16
"""Of these, so that whoever sends many keeps nobody else out."""
_places: Counter[str] = Counter()


@contextlib.contextmanager
def place(address: str) -> Iterator[None]:
    """A place among the logins, held while the password is looked at. Raises LoginsBusy where there is none."""
    if _places.total() >= MOST_WAITING or _places[address] >= MOST_OF_ONE_ADDRESS:
        raise LoginsBusy("As many logins as OMS takes are waiting already, and this one was not tried: try again.")
    _places[address] += 1
    try:
        yield
    finally:
        _places[address] -= 1
        if not _places[address]:
            del _places[address]


class Unfit(Exception):
    """Why a text is no password."""


def fit(password: str) -> str:
    """The same, if a user may have it. Raises Unfit."""
    if not 8 <= len(password) <= 1024:
        raise Unfit("A password has 8 to 1024 characters.")
    return password


def hashed(password: str) -> str:
    """The hash to keep. Takes tens of milliseconds."""
    return _hasher.hash(password)


async def matches(kept: str | None, password: str) -> bool:
    """Whether a password is the one that was hashed; None stands for an unknown user and takes as long."""
    right = await asyncio.get_running_loop().run_in_executor(_threads, _verify, kept or _nobody, password)
    return right and kept is not None


def _verify(kept: str, password: str) -> bool:
    try:
        return _hasher.verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False


def invented() -> str:
    """A password nobody can guess: 120 random bits, easy to select with a double click."""
    return secrets.token_hex(15)
