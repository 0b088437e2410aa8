"""When a session is over: after so long without a call, and after so long in any case."""

import re

import msgspec

SESSID = re.compile(r"\A[0-9A-F]{40}\Z")
CLOCK_SLACK_SECONDS = 300
"""How far a clock may be set back before sessions from `the future` are refused: such a clock revives nothing."""


class Lifetime(msgspec.Struct, frozen=True):
    """Seconds."""

    idle: float = 1800
    absolute: float = 43_200


def alive(lifetime: Lifetime, created: float, used: float, now: float) -> bool:
    """Whether a session that was begun and last used then may be used now (all on one clock)."""
    if now < used - CLOCK_SLACK_SECONDS or now < created - CLOCK_SLACK_SECONDS:
        return False
    return now - used <= lifetime.idle and now - created <= lifetime.absolute
