"""What may be asked of the signer, and how it travels: one question and one answer per connection.

Each is a length (4 bytes, big-endian) and that many bytes of JSON, at most 16 KiB. The list of verbs is closed.
"""

import asyncio
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LONGEST = 16 * 1024
"""The longest question or answer, in bytes."""

_LENGTH_BYTES = 4

Names = Annotated[list[str], Meta(max_length=64)]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class FrameTooLong(Exception):
    """The other side announced more than 16 KiB."""


class SignHost(msgspec.Struct, frozen=True, tag_field="verb", tag="sign_host", forbid_unknown_fields=True):
    """Sign exactly these bytes, which somebody has seen under this fingerprint. More than 90 days become 90."""

    csr: bytes
    csr_sha256: Sha256
    days: Annotated[int, Meta(ge=1)]


class IssueServer(msgspec.Struct, frozen=True, tag_field="verb", tag="issue_server", forbid_unknown_fields=True):
    """A certificate for one of OMS's own servers (web, nats-server), with the key's public half in DER."""

    public_key: bytes
    dns: Names
    addresses: Names
    cluster: bool = False


class IssueIdentity(
    msgspec.Struct, frozen=True, tag_field="verb", tag="issue_identity", forbid_unknown_fields=True
):
    """A certificate for OMS's own connection to the bus in this role."""

    public_key: bytes
    role: Literal["sys", "bus"]


class ShowCa(msgspec.Struct, frozen=True, tag_field="verb", tag="ca", forbid_unknown_fields=True):
    """The certificates of both authorities."""


class Issued(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="issued"):
    """A certificate (PEM) and what the database keeps of it. The serial is hexadecimal."""

    name: str
    certificate: str
    serial: str
    sha256: str
    not_before: datetime
    not_after: datetime


class Trust(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="ca"):
    """Both authorities' certificates (PEM) and their fingerprints, which a person hands to hosts."""

    server_ca: str
    server_ca_sha256: str
    host_ca: str
    host_ca_sha256: str


Reason = Literal[
    "bad_request", "too_long", "not_allowed", "changed", "refused", "cannot_issue", "not_logged", "broken"
]


class Failure(msgspec.Struct, frozen=True, tag_field="answer", tag="failure"):
    """Why there is no certificate: a name for programs and a sentence for people."""

    name: Reason
    message: str


Question = SignHost | IssueServer | IssueIdentity | ShowCa
Answer = Issued | Trust | Failure


def frame(message: Question | Answer) -> bytes:
    """The bytes of one message."""
    body = msgspec.json.encode(message)
    if len(body) > LONGEST:
        raise FrameTooLong
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The JSON of one message. What is too long is not read (`FrameTooLong`)."""
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    if length > LONGEST:
        raise FrameTooLong
    return await reader.readexactly(length)
