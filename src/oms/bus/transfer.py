"""Bulk between callers and hosts: over HTTPS at OMS's address, because the bus is for calls.

    GET /transfers/JOB?offset=N    a host takes the bytes of its job from there on
    PUT /transfers/JOB             somebody brings them: a caller with his SESSID, or another host

A host signs each of its requests with the key of its certificate, the one by which the bus knows it. Both sides
need the same words and may not import each other, so they stand here. Pure: the time is a parameter.
"""

import base64
import binascii
import hashlib
from datetime import datetime
from typing import Annotated

import msgspec
from cryptography import x509

from oms.bus import enrolment
from oms.bus.enrolment import Refusal

PATH = "/transfers/"
HOST_HEADER = "oms-host"
RANGE_HEADER = "content-range"
DIGEST_BYTES = 32
"""A host that sends a file sends its SHA-256 after it, as if that were the file's end."""
_PROOF = b"OMS transfer, version 1\n"


class Claim(msgspec.Struct, frozen=True):
    """Who makes a request. `time` in Unix seconds."""

    certificate_sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    time: int
    signature: Annotated[bytes, msgspec.Meta(max_length=1024)]


class Span(msgspec.Struct, frozen=True):
    """Bytes `first` to `last` of a whole of `size`."""

    first: int
    last: int
    size: int

    def __str__(self) -> str:
        return f"bytes {self.first}-{self.last}/{self.size}"


def claim(key: bytes, certificate: str, verb: str, target: str, now: datetime) -> str:
    """The header by which a host says that a request is its own. `target` is the address behind the server's
    name."""
    shown, seconds = enrolment.read_certificate(certificate), int(now.timestamp())
    signature = enrolment.sign(key, _proof(shown, verb, target, seconds))
    made = Claim(enrolment.fingerprint(shown), seconds, signature)
    return base64.urlsafe_b64encode(msgspec.json.encode(made)).decode()


def read_claim(text: str) -> Claim:
    """What a header claims; `Refusal` for what is no claim."""
    try:
        return msgspec.json.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=Claim)
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError) as bad:
        raise Refusal("This is no host's signature.") from bad


def verify(certificate: x509.Certificate, made: Claim, verb: str, target: str, now: datetime) -> None:
    """Whether the key of that certificate signed this request, just now; else `Refusal`."""
    enrolment.check_fresh(made.time, now)
    enrolment.verify(certificate, made.signature, _proof(certificate, verb, target, made.time))


def _proof(certificate: x509.Certificate, verb: str, target: str, seconds: int) -> bytes:
    digest = hashlib.sha256(f"{verb} {target}".encode("utf-8", "surrogatepass")).digest()
    return _PROOF + bytes.fromhex(enrolment.fingerprint(certificate)) + digest + seconds.to_bytes(8, "big")


def span(text: str) -> Span:
    """The bytes that a Content-Range names; `Refusal` for any other text."""
    unit, _, rest = text.strip().partition(" ")
    ends, slash, size = rest.partition("/")
    first, dash, last = ends.partition("-")
    numbers = (first, last, size)
    if unit == "bytes" and slash and dash and all(n.isascii() and n.isdigit() and len(n) < 16 for n in numbers):
        found = Span(*map(int, numbers))
        if found.first <= found.last < found.size:
            return found
    raise Refusal("Content-Range is `bytes FIRST-LAST/SIZE`, in whole numbers.")
