"""Times as they are kept, and as they are shown."""

import time
from datetime import UTC, datetime


def now() -> float:
    """Seconds since 1970, UTC: the form in which times are kept."""
    return time.time()


def moment(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC; empty for 0."""
    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
