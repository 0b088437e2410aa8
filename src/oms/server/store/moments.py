"""Times as they are kept, and as they are shown."""

import functools
import time
from datetime import UTC, datetime


def now() -> float:
    """Seconds since 1970, UTC: the form in which times are kept."""
    return time.time()


def moment(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC; empty for 0."""
    if not seconds:
        return ""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_of_second(whole)}.{milliseconds:03}Z"


def second(seconds: float) -> str:
    """The same in whole seconds."""
    return f"{_of_second(int(seconds))}Z"


@functools.lru_cache(maxsize=4)
def _of_second(seconds: int) -> str:
    """The part that thousands of calls have in common."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
