"""What uploads and fetches of all kinds of files have in common: sizes, checksums, addresses."""

from typing import Annotated

import msgspec
from msgspec import Meta

from oms.contract.types import TaskId, text

SizeBytes = Annotated[
    int,
    Meta(
        ge=1, le=16 * 1024**4, description="the size of the file in bytes, 1 to 17592186044416", examples=[5242880]
    ),
]

OptionalSha256 = Annotated[
    str,
    text(
        r"(?:[0-9a-f]{64})?",
        "a SHA-256 checksum, 64 lower-case hexadecimal digits, or nothing",
        64,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        shortest=0,
    ),
]

Url = Annotated[
    str,
    text(
        r"https?://[!-~]+",
        "a web address (https or http), plain ASCII without blanks, at most 2048 characters",
        2048,
        "https://mirror.example/debian-12.iso",
    ),
]


class Upload(msgspec.Struct, frozen=True):
    """An upload that has begun: the job, and where its bytes are to be PUT, at OMS's own address.

    Each PUT has the header `Authorization: Bearer SESSID`; one that is not the whole file says by `Content-Range`
    which part of it it is. GET tells how much has come.
    """

    job: TaskId
    address: str


class Received(msgspec.Struct, frozen=True):
    """A file that has come, whole: its size in bytes and its checksum."""

    size_bytes: int
    sha256: str
