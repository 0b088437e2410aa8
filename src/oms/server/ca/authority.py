"""The two certificate authorities of one OMS, and the fixed templates of everything they issue.

The *server CA* makes what proves to be OMS: the certificates of the web ports and of nats-server, and OMS's own
identities on the bus. The *host CA* makes host certificates only. They are apart so that no host's certificate
can pass for a server anywhere: a place that expects servers trusts the server CA alone.

Nothing but a name and a public key comes from whoever asks. Pure, but for randomness: keys and times in,
certificates out. Times are aware datetimes.
"""

import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from oms.bus.enrolment import UNREADABLE, PublicKey, dns_name, hostname

Kind = Literal["server", "host"]
Role = Literal["sys", "bus"]

AUTHORITY_LIFE = timedelta(days=3652)
HOST_DAYS = 90
"""The longest life of a host's certificate, in days."""
SERVER_DAYS = 397
"""The longest life of a server's certificate, in days: browsers take no more."""

SKEW = timedelta(minutes=5)
"""How far a certificate's beginning lies in the past, for machines whose clocks are behind."""

_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH


class AuthorityError(Exception):
    """An authority cannot issue this; the text is for a person."""


@dataclass(frozen=True, repr=False)
class Authority:
    """One authority: its private key and its self-signed certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True, repr=False)
class Authorities:
    """The two authorities of one OMS."""

    server: Authority
    host: Authority


def create(kind: Kind, now: datetime) -> Authority:
    """A new authority: ECDSA P-256, ten years, allowed to sign end certificates only.

    A part of the name is random: certificates of two installations, or of one made anew, are not confused.
    The host CA's own certificate says "clients only", which verifiers apply to all that it issues.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name(f"OMS {kind} CA {secrets.token_hex(4)}")
    begin = (now - SKEW).replace(microsecond=0)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(_serial())
        .not_valid_before(begin)
        .not_valid_after(begin + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
    )
    if kind == "host":
        builder = builder.add_extension(x509.ExtendedKeyUsage([_CLIENT]), critical=False)
    return Authority(key, builder.sign(key, hashes.SHA256()))


def issue_host(ca: Authority, name: str, public_key: bytes, days: int, now: datetime) -> x509.Certificate:
    """A host's certificate: CN and one DNS name, for clients only, 1 to 90 days."""
    if not 1 <= days <= HOST_DAYS:
        raise AuthorityError(f"A host's certificate lives 1 to {HOST_DAYS} days, not {days}.")
    names = [x509.DNSName(hostname(name))]
    return _issue(ca, _load(public_key), name, names=names, purposes=[_CLIENT], life=(now, days))


def issue_server(
    ca: Authority,
    public_key: bytes,
    dns: Iterable[str],
    addresses: Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address],
    now: datetime,
    *,
    cluster: bool = False,
    days: int = SERVER_DAYS,
) -> x509.Certificate:
    """A server's certificate for these names and addresses.

    `cluster` is for a nats-server that also dials its neighbours, to whom it is a client.
    """
    names: list[x509.GeneralName] = [x509.DNSName(dns_name(name)) for name in dns]
    names += [x509.IPAddress(address) for address in addresses]
    if not names:
        raise AuthorityError("A server's certificate needs at least one DNS name or IP address.")
    purposes = [_SERVER, _CLIENT] if cluster else [_SERVER]
    life = (now, _server_days(days))
    return _issue(ca, _load(public_key), "OMS server", names=names, purposes=purposes, life=life)


def issue_identity(
    ca: Authority, public_key: bytes, role: Role, now: datetime, *, days: int = SERVER_DAYS
) -> x509.Certificate:
    """OMS's own identity on the bus: the URI oms://server/sys or oms://server/bus, for clients only."""
    names = [x509.UniformResourceIdentifier(f"oms://server/{role}")]
    life = (now, _server_days(days))
    return _issue(ca, _load(public_key), f"OMS server {role}", names=names, purposes=[_CLIENT], life=life)


def pem(certificate: x509.Certificate) -> str:
    """A certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _issue(
    ca: Authority,
    key: PublicKey,
    subject: str,
    *,
    names: Iterable[x509.GeneralName],
    purposes: Iterable[x509.ObjectIdentifier],
    life: tuple[datetime, int],
) -> x509.Certificate:
    begin, end = _validity(ca.certificate, *life)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    return (
        x509.CertificateBuilder(ca.certificate.subject, _common_name(subject), key, _serial(), begin, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .sign(ca.key, hashes.SHA256())
    )


def _validity(ca: x509.Certificate, now: datetime, days: int) -> tuple[datetime, datetime]:
    """Begin and end: never longer than `days` in all, and never outside the authority's own life."""
    first, last = ca.not_valid_before_utc, ca.not_valid_after_utc
    if not first <= now < last:
        raise AuthorityError(
            f"The clock says {now:%F %T %Z}, and this authority lives from {first:%F} to {last:%F}:"
            " set the clock, or make a new authority."
        )
    begin = max(first, (now - SKEW).replace(microsecond=0))
    return begin, min(last, begin + timedelta(days=days))


def _server_days(days: int) -> int:
    if not 1 <= days <= SERVER_DAYS:
        raise AuthorityError(f"A server's certificate lives 1 to {SERVER_DAYS} days, not {days}.")
    return days


def _serial() -> int:
    """128 random bits; X.509 wants them above zero."""
    return secrets.randbelow(2**128 - 1) + 1


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _load(public_key: bytes) -> PublicKey:
    try:
        key = serialization.load_der_public_key(public_key)
    except UNREADABLE as error:
        raise AuthorityError("The public key is not a SubjectPublicKeyInfo in DER form.") from error
    if not isinstance(key, PublicKey):
        raise AuthorityError("Only ECDSA, Ed25519 and RSA keys are certified.")
    return key


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
