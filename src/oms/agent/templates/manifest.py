"""The .mf file of a package: a digest for each of its files. Pure.

Source: DMTF DSP0243, "Manifest": one line a file, as in `SHA256(disk1.vmdk)= 1a2b...`.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from oms.agent.templates.appliance import BadPackage

LARGEST_BYTES: Final = 64 * 1024
USUAL: Final = "sha256"
DIGITS: Final = {"sha1": 40, "sha256": 64, "sha512": 128}
"""Hexadecimal digits of each algorithm that is known here."""
_LINE = re.compile(r"([A-Z0-9-]+)\s*\((.+)\)\s*=\s*([0-9A-Fa-f]+)")


class Digest(msgspec.Struct, frozen=True):
    """What a file's content must come to: `hex` in lower case, by an algorithm as hashlib calls it."""

    algorithm: str
    hex: str


def read(text: bytes) -> dict[str, Digest]:
    """The digests by the files' names. Raises BadPackage."""
    if len(text) > LARGEST_BYTES:
        raise BadPackage(f"its manifest has {len(text)} bytes; {LARGEST_BYTES} are legal")
    digests: dict[str, Digest] = {}
    for line in filter(None, map(str.strip, text.decode("utf-8", errors="replace").splitlines())):
        found = _LINE.fullmatch(line)
        algorithm = found[1].replace("-", "").lower() if found else ""
        if found is None or DIGITS.get(algorithm) != len(found[3]):
            raise BadPackage(f"its manifest has a line that cannot be read: {line[:80]!a}")
        digests[found[2]] = Digest(algorithm, found[3].lower())
    return digests


def written(digests: Mapping[str, str]) -> bytes:
    """The .mf for files with these SHA-256 digests."""
    return "".join(f"SHA256({name})= {digest}\n" for name, digest in digests.items()).encode()
