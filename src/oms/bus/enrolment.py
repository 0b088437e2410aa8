"""Enrolment: what an agent and the server say to each other over HTTPS before the agent has a place on the bus.

The agent makes a key that never leaves its host and sends a request for a certificate (a CSR); the server
keeps it until a person signs it. Later the agent renews by itself, with a new key vouched for by the old one.
Both sides need the same names, messages and proofs, and may not import each other, so they stand here.

Everything is pure: no files, no sockets, and the time is a parameter. Certificates, requests and keys are PEM;
fingerprints are SHA-256 in 64 lower-case hexadecimal digits; times are aware datetimes.
"""

import hashlib
import ipaddress
import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

CSR_BYTES = 8192
"""The longest CSR that is read at all."""

COMMON_NAME_CHARACTERS = 64
"""The longest host name that fits a certificate's common name (RFC 5280, ub-common-name)."""

FRESH = timedelta(minutes=10)
"""How far the clocks of host and server may differ in a renewal, and how long one can be repeated."""

GRACE = timedelta(days=30)
"""How long after its end a certificate may still be renewed: a host that was switched off comes back."""

RESERVED = frozenset({"oms", "server", "sys", "bus"})
"""Names that mean parts of OMS itself."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PROOF = b"OMS renewal, version 1\n"

Pem = Annotated[str, msgspec.Meta(max_length=CSR_BYTES)]
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    Warning,
    UnsupportedAlgorithm,
    x509.AttributeNotFound,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the certificate library raises for input that is not what it claims to be."""


class Refusal(ValueError):
    """Something that was sent is not acceptable; `reason` is one sentence or two for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EnrolRequest(msgspec.Struct, frozen=True):
    """An agent asks for a place: its CSR, and what it knows of its host (hypervisors, architecture, version)."""

    csr: Pem
    facts: dict[str, Any] = {}


class EnrolAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a request stands. `key_sha256` is the fingerprint that a person compares before signing.

    `signed` brings all of host_id, certificate, host_ca, server_ca and bus_url; `refused` brings the reason.
    `bus_urls`: all addresses of the bus, where it has several; the first one is `bus_url`.
    """

    state: Literal["waiting", "signed", "refused"]
    key_sha256: str
    host_id: str | None = None
    certificate: str | None = None
    host_ca: str | None = None
    server_ca: str | None = None
    bus_url: str | None = None
    bus_urls: tuple[str, ...] = ()
    reason: str | None = None


class RenewRequest(msgspec.Struct, frozen=True):
    """A signed host asks for its next certificate; answered with an `EnrolAnswer`.

    `time` is in Unix seconds; `signature` (base64 in JSON) is made by the key of `certificate`.
    """

    certificate: Pem
    csr: Pem
    time: int
    signature: Annotated[bytes, msgspec.Meta(max_length=1024)]


def shown(value: object) -> str:
    """The value as a person may see it in a message or a log: escaped, plain ASCII, at most 80 characters."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


def dns_name(text: str) -> str:
    """The text, if it has the shape of a DNS name in its one canonical writing; else `Refusal`."""
    if not 1 <= len(text) <= 253:
        raise Refusal(f"A host name has 1 to 253 characters; {shown(text)} has {len(text)}.")
    if not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise Refusal(
            f"{shown(text)} is not a host name: legal are lower-case letters a-z, digits and hyphens, in parts"
            " of 1 to 63 characters that begin and end with a letter or digit, with single dots between them."
        )
    if _NUMBER.fullmatch(text.rpartition(".")[2]):
        raise Refusal(f"{shown(text)} can be read as an IP address or a number: use the host's name.")
    return text


def hostname(text: str) -> str:
    """The text, if a host may enrol under it: a DNS name that means neither OMS nor the reader's own machine."""
    labels = dns_name(text).split(".")
    if text in RESERVED:
        raise Refusal(f"{shown(text)} is reserved for OMS itself: give the host another name.")
    if "localhost" in (labels[0], labels[-1]):
        raise Refusal(f"{shown(text)} means every machine's own self: give the host a name of its own.")
    return text


def ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address, if the text is one without a zone; else `Refusal`."""
    try:
        if "%" not in text:
            return ipaddress.ip_address(text)
    except ValueError:
        pass
    raise Refusal(f"{shown(text)} is not an IP address.")


def make_key() -> bytes:
    """A new private key (ECDSA P-256, PKCS#8 PEM, not encrypted)."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def public_key(key: bytes) -> bytes:
    """The public half of a private key (DER, SubjectPublicKeyInfo)."""
    return public_der(_private(key).public_key())


def public_der(key: PublicKey) -> bytes:
    """A public key's one canonical form (DER, SubjectPublicKeyInfo), whatever form it came in."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_sha256(key: bytes) -> str:
    """The fingerprint of a private key's public half, as `EnrolAnswer` and the list of requests show it."""
    return hashlib.sha256(public_key(key)).hexdigest()


def make_csr(key: bytes, name: str) -> str:
    """A request for a certificate with this host name, in PEM; `Refusal` if no host may have it."""
    if len(hostname(name)) > COMMON_NAME_CHARACTERS:
        raise Refusal(f"{shown(name)} is too long for a certificate: at most {COMMON_NAME_CHARACTERS} characters.")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
    private = _private(key)
    algorithm = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(private, algorithm).public_bytes(serialization.Encoding.PEM).decode("ascii")


def read_certificate(pem: str) -> x509.Certificate:
    """The certificate in a PEM text; `Refusal` if there is none."""
    try:
        return x509.load_pem_x509_certificate(pem.encode("ascii"))
    except UNREADABLE as error:
        raise Refusal("The certificate is not an X.509 certificate in PEM form.") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """A certificate's SHA-256: 64 lower-case hexadecimal digits over its DER form."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def sign_renewal(key: bytes, certificate: str, csr: str, now: datetime) -> RenewRequest:
    """The agent's request for its next certificate, vouched for by the key of the present one."""
    seconds = int(now.timestamp())
    message = _proof(read_certificate(certificate), csr, seconds)
    return RenewRequest(certificate, csr, seconds, sign(key, message))


def verify_renewal(certificate: x509.Certificate, request: RenewRequest, now: datetime) -> None:
    """Whether the key of `certificate` vouches for the request's CSR, just now; else `Refusal`.

    Who issued the certificate, and whether it was removed since, are the caller's questions.
    """
    check_fresh(request.time, now)
    verify(certificate, request.signature, _proof(certificate, request.csr, request.time))


def check_fresh(seconds: int, now: datetime) -> None:
    """Whether something that a host has signed was signed just now; else `Refusal`."""
    if abs(int(now.timestamp()) - seconds) > FRESH.total_seconds():
        raise Refusal(
            f"What was signed is dated more than {FRESH.seconds // 60} minutes from the server's time, "
            f"{now:%F %T %Z}: set the host's clock."
        )


def may_renew(not_after: datetime, now: datetime, grace: timedelta = GRACE) -> bool:
    """Whether a certificate that ends at `not_after` can still be renewed without asking a person again."""
    return now <= not_after + grace


def renew_at(not_before: datetime, not_after: datetime, name: str) -> datetime:
    """When a host renews: at two thirds of the certificate's life, less up to a twentieth.

    How much less follows from the name, so that hosts signed in one go do not all come back in one minute.
    """
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return not_before + (not_after - not_before) * (2 / 3 - share / 20)


def _proof(certificate: x509.Certificate, csr: str, seconds: int) -> bytes:
    """What is signed: bound to this purpose, the old certificate, the exact new request and the time."""
    digest = hashlib.sha256(csr.encode("utf-8", "surrogatepass")).digest()
    return _PROOF + bytes.fromhex(fingerprint(certificate)) + digest + seconds.to_bytes(8, "big")


def sign(key: bytes, message: bytes) -> bytes:
    """A signature by a private key in PEM."""
    match private := _private(key):
        case ec.EllipticCurvePrivateKey():
            return private.sign(message, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPrivateKey():
            return private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        case _:
            return private.sign(message)


def verify(certificate: x509.Certificate, signature: bytes, message: bytes) -> None:
    """Whether the key of the certificate made the signature; else `Refusal`."""
    try:
        _verify(certificate.public_key(), signature, message)
    except (InvalidSignature, *UNREADABLE) as error:
        raise Refusal("What was sent is not signed by the key of the host's present certificate.") from error


def _verify(key: object, signature: bytes, message: bytes) -> None:
    match key:
        case ec.EllipticCurvePublicKey():
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPublicKey():
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        case ed25519.Ed25519PublicKey():
            key.verify(signature, message)
        case _:
            raise TypeError("no key that a host may have")


def _private(pem: bytes) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except UNREADABLE as error:
        raise Refusal("The private key is not an unencrypted key in PEM form.") from error
    if not isinstance(key, PrivateKey):
        raise Refusal("The private key is neither ECDSA, Ed25519 nor RSA.")
    return key


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
