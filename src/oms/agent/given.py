"""A setting as a caller gives it: a number, or a text that may be one. Pure."""

import re

KB_PER_MB = 1024
"""Settings are in MB, what is measured is in KB."""
SHOWN = 40
"""Characters of a refused value."""
DIGITS = 18
TOO_LONG = 10**DIGITS
_NUMBER = re.compile(rf"[0-9]{{1,{DIGITS}}}")


def whole_number(value: str | int) -> int | None:
    """The number, from a number or from a text of nothing but ASCII digits; None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if _NUMBER.fullmatch(value) else None


def shown(value: str | int) -> str:
    """The value, in one short line."""
    if isinstance(value, int):
        return str(value) if abs(value) < TOO_LONG else f"a number of more than {DIGITS} digits"
    text = value if _NUMBER.fullmatch(value) else repr(value[:SHOWN])
    return text if len(value) <= SHOWN else f"{text}..."
