"""A small certificate authority for the tests of the bus: a CA for hosts, a CA for OMS and its nats-servers."""

import datetime as dt
import hashlib
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = dt.timedelta(days=1)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    cert: x509.Certificate

    @classmethod
    def new(cls, common_name: str) -> "Authority":
        key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(_name(common_name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        return self.cert.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Identity:
    """A key and a certificate in files."""

    key: Path
    cert: Path
    expires: dt.datetime

    @property
    def fingerprint(self) -> str:
        cert = x509.load_pem_x509_certificate(self.cert.read_bytes())
        return hashlib.sha256(cert.public_bytes(serialization.Encoding.DER)).hexdigest()


@dataclass
class Pki:
    folder: Path
    bus: Authority = field(default_factory=lambda: Authority.new("OMS bus CA"))
    hosts: Authority = field(default_factory=lambda: Authority.new("OMS host CA"))

    def __post_init__(self) -> None:
        (self.folder / "bus-ca.crt").write_bytes(self.bus.pem)
        (self.folder / "clients-ca.crt").write_bytes(self.bus.pem + self.hosts.pem)
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        self.nats = self.issue("nats", self.bus, here, server=True)
        self.sys = self.issue("oms-sys", self.bus, [x509.UniformResourceIdentifier("oms://server/sys")])
        self.calls = self.issue("oms-bus", self.bus, [x509.UniformResourceIdentifier("oms://server/bus")])

    @property
    def bus_ca(self) -> Path:
        return self.folder / "bus-ca.crt"

    @property
    def clients_ca(self) -> Path:
        return self.folder / "clients-ca.crt"

    def host(self, name: str, days: float = 365) -> Identity:
        return self.issue(name, self.hosts, [x509.DNSName(name)], days=days)

    def issue(
        self,
        name: str,
        by: Authority,
        names: list[x509.GeneralName],
        *,
        server: bool = False,
        days: float = 365,
    ) -> Identity:
        key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
        expires = now + days * DAY
        usage = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(by.cert.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        identity = Identity(self.folder / f"{name}.key", self.folder / f"{name}.crt", expires)
        identity.cert.write_bytes(builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        identity.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        identity.key.chmod(0o600)
        return identity
