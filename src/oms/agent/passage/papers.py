"""Certificates for one move: each side makes one, OMS carries it to the other, and no other is let through.

They are of use for nothing else: each is its own authority, names nobody, and ends with the job that has its key.
A host's own certificate is for its connections to OMS alone, and vouches for nothing here.
"""

import contextlib
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFE = timedelta(days=3650)
"""The clocks of two hosts may differ by anything: what limits a certificate is that only one job knows it."""
RECORD = "papers"


class Records(Protocol):
    """A job, as far as its records go."""

    def recall(self, key: str) -> Any:
        """What an earlier run recorded."""

    async def record(self, key: str, value: Any) -> None:
        """Write it down."""


class Papers(msgspec.Struct, frozen=True):
    """A certificate and its key, PEM."""

    certificate: str
    key: str


def make() -> Papers:
    """New ones."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one move")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - LIFE)
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Papers(certificate.public_bytes(serialization.Encoding.PEM).decode(), key.private_bytes(*form).decode())


async def of_job(job: Records) -> Papers:
    """Those of a job, made at its first run; they are forgotten with its other records when it ends."""
    if (recalled := job.recall(RECORD)) is None:
        recalled = msgspec.to_builtins(make())
        await job.record(RECORD, recalled)
    return msgspec.convert(recalled, Papers)


def context(papers: Papers, other: str, *, listens: bool) -> ssl.SSLContext:
    """TLS 1.3 with these papers, for nobody but the holder of the other certificate (PEM). Raises ValueError where
    that is none."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if listens else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname, made.verify_mode = False, ssl.CERT_REQUIRED
    if listens:
        made.num_tickets = 0  # nothing is taken up again: each connection shows its certificate
    try:
        made.load_verify_locations(cadata=other)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError("the other side's certificate is none") from error
    with _file(papers) as path:
        made.load_cert_chain(path)
    return made


def check(line: ssl.SSLObject | None, certificate: str) -> None:
    """See that the other end of a connection has shown exactly that certificate. Raises ValueError."""
    if line is None or line.getpeercert(binary_form=True) != ssl.PEM_cert_to_DER_cert(certificate):
        raise ValueError("another certificate than the one that was agreed on")


@contextlib.contextmanager
def _file(papers: Papers) -> Iterator[str]:
    """A file that nobody else sees: the library reads keys from files only."""
    place = os.memfd_create("papers", os.MFD_CLOEXEC)
    try:
        os.write(place, (papers.key + papers.certificate).encode())
        os.lseek(place, 0, os.SEEK_SET)
        yield f"/proc/self/fd/{place}"
    finally:
        os.close(place)
