"""How often a password may be guessed: each user from each address has so many tries, then has to wait.

Counted per user and address together, so that somebody who guesses locks out himself and not the user, who
logs in from elsewhere. Unknown users are counted like known ones, or the count would tell them apart.
"""

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from oms.contract.errors import AuthError
from oms.server.rules.addresses import neighbourhood

MOST_REMEMBERED = 100_000
"""More than there can be tries within the usual rest, at some 50 a second: nobody gets his own tries forgotten by
trying many names. The names are kept as digests, so that long ones take no more room."""


class Limits(msgspec.Struct, frozen=True):
    """`tries` wrong ones, then `lock_seconds` of rest; a wrong answer is given after `delay_seconds`."""

    tries: int = 10
    lock_seconds: float = 900
    delay_seconds: float = 3


class Guesses:
    """The wrong tries that are remembered: at most so many pairs, the least recent forgotten first."""

    def __init__(self, limits: Limits, most: int = MOST_REMEMBERED) -> None:
        self.limits = limits
        self._most = most
        self._tries: OrderedDict[tuple[bytes, str], tuple[int, float]] = OrderedDict()

    def begin(self, user: str, address: str, now: float) -> bool:
        """Whether another try is allowed. It counts as wrong until `right` is called, so that tries made side
        by side count as well."""
        key = _key(user, address)
        count, last = self._tries.pop(key, (0, now))
        if now - last >= self.limits.lock_seconds:
            count = 0
        allowed = count < self.limits.tries
        self._tries[key] = (count + 1, now) if allowed else (count, last)
        while len(self._tries) > self._most:
            self._tries.popitem(last=False)
        return allowed

    @contextlib.contextmanager
    def looking(self, user: str, address: str) -> Iterator[None]:
        """While it is found out whether a try is right: one of which that cannot be found out was none."""
        try:
            yield
        except AuthError:
            raise  # that has been found out
        except Exception:
            self.forgive(user, address)
            raise

    def forgive(self, user: str, address: str) -> None:
        """The try could not be looked at: it was none."""
        key = _key(user, address)
        count, last = self._tries.get(key, (0, 0.0))
        if count:
            self._tries[key] = (count - 1, last)

    def right(self, user: str, address: str) -> None:
        """The password was right: forget the wrong tries."""
        self._tries.pop(_key(user, address), None)


def _key(user: str, address: str) -> tuple[bytes, str]:
    return hashlib.sha256(user.strip().lower().encode()).digest()[:16], neighbourhood(address)
