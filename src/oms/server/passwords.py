"""Passwords: argon2id, at most two at once, and the same work for a user that does not exist. A new one is
judged by how many tries it would take to guess it, never by which signs are in it."""

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
from oms.contract.user import WeakPassword

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
SHORTEST, LONGEST = 12, 1024
JUDGED = 72
"""Characters of a password that are judged: to look at more takes long, and so many are enough by themselves."""
GOOD = 3
"""Of zxcvbn's scores 0 to 4: some hundred million tries, which at a login take years, and at a stolen hash as
well."""
OURS = ("oms", "opennode", "admin")
"""Words that are no secret here."""
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


def fit(password: str, *about: str) -> str:
    """The same, if a user may have it. Raises Unfit. Takes some milliseconds, the first time some more.

    `about`: the user's name and the like, which are easily guessed in his password.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Unfit(f"A password has {SHORTEST} to {LONGEST} characters.")
    from zxcvbn import zxcvbn  # 14 MB of words that few starts need

    judged = zxcvbn(password[:JUDGED], user_inputs=[*OURS, *filter(None, about)])
    if judged["score"] < GOOD:
        why = f" {judged['feedback']['warning']}" if judged["feedback"]["warning"] else ""
        raise Unfit(
            f"This password would soon be guessed.{why} Some words that have nothing to do with each other make a "
            "good one."
        )
    return password


async def chosen(password: str, *about: str) -> str:
    """The hash of a new password that a user may have. Raises WeakPassword."""
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, lambda: hashed(fit(password, *about)))
    except Unfit as why:
        raise WeakPassword(f"{why} Nothing was changed.") from None


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
