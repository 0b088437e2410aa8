"""What a caller wants of a change besides the change itself, in headers that have names for it.

`Idempotency-Key`: the id that the job is to have, so that a call which is made again, because its answer was lost,
finds the job of the first. `Prefer: respond-async` and `Prefer: wait=SECONDS` (RFC 7240): how long to wait. Both
are of one call, and mean nothing to a batch.
"""

import re

from oms.server.edge.dialects import NoCall

_KEY = re.compile(r"[0-9a-f]{32}\Z")
_WAIT = re.compile(r"wait=([0-9]{1,5})\Z")
WRONG_KEY = "An Idempotency-Key is a UUID, or 32 hexadecimal digits: a new one for each change."


def read(headers: list[tuple[bytes, bytes]]) -> tuple[str, float | None]:
    """The job's id ("": any), and how many seconds to wait (None: as the method says). Raises NoCall."""
    job, wait = "", None
    for name, value in headers:
        if name == b"idempotency-key":
            job = _key(value.decode("latin-1"))
        elif name == b"prefer":
            wait = _wait(value.decode("latin-1"), wait)
    return job, wait


def _key(said: str) -> str:
    key = said.strip().strip('"').replace("-", "").lower()
    if not _KEY.match(key):
        raise NoCall(WRONG_KEY)
    return key


def _wait(said: str, before: float | None) -> float | None:
    """A preference that is not known here is passed over, as RFC 7240 has it."""
    wait = before
    for word in said.lower().replace(" ", "").split(","):
        if word == "respond-async":
            return 0
        if found := _WAIT.match(word):
            wait = float(found[1])
    return wait
