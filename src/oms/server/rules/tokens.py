"""What a token looks like: a beginning by which scanners for lost secrets know it, 238 random bits, a checksum
by which they know that it is no accident.

    oms_ + 40 random letters and digits + 6 of the CRC-32 of those
"""

import re
import secrets
import zlib

PREFIX = "oms_"
RANDOM_SIGNS, CHECK_SIGNS = 40, 6
_SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHAPE = re.compile(rf"\A{PREFIX}[0-9A-Za-z]{{{RANDOM_SIGNS + CHECK_SIGNS}}}\Z")


def invented() -> str:
    """A new token."""
    random = "".join(secrets.choice(_SIGNS) for _ in range(RANDOM_SIGNS))
    return f"{PREFIX}{random}{_check(random)}"


def is_token(text: str) -> bool:
    """Whether a text has the shape of a token, checksum included."""
    if not _SHAPE.match(text):
        return False
    body = text.removeprefix(PREFIX)
    return body[RANDOM_SIGNS:] == _check(body[:RANDOM_SIGNS])


def _check(random: str) -> str:
    rest, signs = zlib.crc32(random.encode()), ""
    for _ in range(CHECK_SIGNS):
        rest, place = divmod(rest, len(_SIGNS))
        signs = _SIGNS[place] + signs
    return signs
