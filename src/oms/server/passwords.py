"""Passwords: argon2id, at most two at once, and the same work for a user that does not exist."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # 36 ms, 19 MiB
_threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")  # more at once would make logins a way to stop us
_nobody = _hasher.hash(secrets.token_hex(20))


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
