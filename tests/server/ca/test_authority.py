"""What the two authorities issue: fixed templates, checked in real handshakes and by another implementation."""

import ipaddress
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from oms.bus import enrolment
from oms.bus.enrolment import Refusal
from oms.server.ca import authority
from oms.server.ca.authority import Authorities, AuthorityError

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
LOOPBACK = ipaddress.ip_address("127.0.0.1")


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities(authority.create("server", NOW), authority.create("host", NOW))


def public_key() -> bytes:
    return enrolment.public_key(enrolment.make_key())


def names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_an_authority_lives_ten_years_and_signs_end_certificates_only(authorities: Authorities) -> None:
    for made in (authorities.server.certificate, authorities.host.certificate):
        limits = made.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (limits.critical, limits.value.ca, limits.value.path_length) == (True, True, 0)
        assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=3652)
        made.verify_directly_issued_by(made)
    assert authorities.server.certificate.subject != authority.create("server", NOW).certificate.subject


def test_a_hosts_certificate_is_the_fixed_template_and_nothing_more(authorities: Authorities) -> None:
    key = public_key()
    made = authority.issue_host(authorities.host, "h1.example.org", key, 90, NOW)
    assert made.subject.rfc4514_string() == "CN=h1.example.org"
    assert names(made) == [x509.DNSName("h1.example.org")]
    assert purposes(made) == [CLIENT]
    limits = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (limits.critical, limits.value.ca) == (True, False)
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert {extension.oid for extension in made.extensions} == {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    }
    issued_for = made.public_key()
    assert isinstance(issued_for, enrolment.PublicKey)
    assert enrolment.public_der(issued_for) == key
    made.verify_directly_issued_by(authorities.host.certificate)


def test_a_hosts_certificate_lives_no_minute_longer_than_asked(authorities: Authorities) -> None:
    made = authority.issue_host(authorities.host, "h1", public_key(), 90, NOW)
    assert made.not_valid_before_utc == NOW.replace(microsecond=0) - timedelta(minutes=5)
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=90)


@pytest.mark.parametrize("days", [0, -1, 91, 7300])
def test_no_host_gets_more_than_ninety_days(authorities: Authorities, days: int) -> None:
    with pytest.raises(AuthorityError, match="1 to 90 days"):
        authority.issue_host(authorities.host, "h1", public_key(), days, NOW)


@pytest.mark.parametrize("name", ["*", "oms", "H1", "h1\nh2", "oms://server/sys", ""])
def test_no_host_gets_a_name_that_none_may_have(authorities: Authorities, name: str) -> None:
    with pytest.raises(Refusal):
        authority.issue_host(authorities.host, name, public_key(), 90, NOW)


def test_serials_are_random_and_use_the_whole_of_128_bits(authorities: Authorities) -> None:
    key = public_key()
    serials = [authority.issue_host(authorities.host, "h1", key, 1, NOW).serial_number for _ in range(64)]
    assert len(set(serials)) == 64
    assert all(0 < serial < 2**128 for serial in serials)
    assert max(serials).bit_length() > 122  # by chance once in 2**384 runs


def test_nothing_outlives_its_authority_and_a_dead_one_issues_nothing(authorities: Authorities) -> None:
    end = authorities.host.certificate.not_valid_after_utc
    late = authority.issue_host(authorities.host, "h1", public_key(), 90, end - timedelta(days=10))
    assert late.not_valid_after_utc == end
    for moment in (end, NOW - timedelta(days=1)):
        with pytest.raises(AuthorityError, match="set the clock, or make a new authority"):
            authority.issue_host(authorities.host, "h1", public_key(), 90, moment)


def test_a_key_that_is_none_or_of_another_kind_is_not_certified(authorities: Authorities) -> None:
    with pytest.raises(AuthorityError, match="SubjectPublicKeyInfo"):
        authority.issue_host(authorities.host, "h1", b"garbage", 90, NOW)
    x25519 = bytes.fromhex("302a300506032b656e032100") + bytes(range(32))
    with pytest.raises(AuthorityError, match="Only ECDSA"):
        authority.issue_host(authorities.host, "h1", x25519, 90, NOW)


def test_a_servers_certificate_is_for_servers_and_a_clusters_for_both(authorities: Authorities) -> None:
    web = authority.issue_server(authorities.server, public_key(), ["oms", "localhost"], [LOOPBACK], NOW)
    assert names(web) == [x509.DNSName("oms"), x509.DNSName("localhost"), x509.IPAddress(LOOPBACK)]
    assert purposes(web) == [SERVER]
    bus = authority.issue_server(authorities.server, public_key(), ["bus1"], [], NOW, cluster=True)
    assert purposes(bus) == [SERVER, CLIENT]
    with pytest.raises(AuthorityError, match="at least one"):
        authority.issue_server(authorities.server, public_key(), [], [], NOW)
    with pytest.raises(Refusal):
        authority.issue_server(authorities.server, public_key(), ["*.example.org"], [], NOW)
    with pytest.raises(AuthorityError, match="1 to 397 days"):
        authority.issue_server(authorities.server, public_key(), ["oms"], [], NOW, days=398)


def test_oms_own_identities_are_uris_that_no_host_can_have(authorities: Authorities) -> None:
    made = authority.issue_identity(authorities.server, public_key(), "sys", NOW)
    assert names(made) == [x509.UniformResourceIdentifier("oms://server/sys")]
    assert purposes(made) == [CLIENT]


class World:
    """Keys and certificates of one OMS and one host, in files, valid now."""

    def __init__(self, directory: Path) -> None:
        now = datetime.now(UTC)
        self.server, self.host = authority.create("server", now), authority.create("host", now)
        self.directory = directory
        self.write("server-ca", authority.pem(self.server.certificate))
        self.write("host-ca", authority.pem(self.host.certificate))
        for name in ("web", "h1"):
            key = enrolment.make_key()
            der = enrolment.public_key(key)
            made = (
                authority.issue_server(self.server, der, ["localhost"], [LOOPBACK], now)
                if name == "web"
                else authority.issue_host(self.host, name, der, 90, now)
            )
            self.write(name, key.decode() + authority.pem(made))

    def write(self, name: str, text: str) -> None:
        self.path(name).write_text(text)

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.pem"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def handshake(world: World, server: str, client: str, *, server_trusts: str, client_trusts: str) -> str:
    """What the server sees of the client in a real TLS 1.3 handshake: its common name. `ssl.SSLError` if none."""
    seen: list[object] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(world.path(server_trusts)))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(world.path(server))
        try:
            with context.wrap_socket(listener.accept()[0], server_side=True) as stream:
                seen.append(stream.getpeercert())
                stream.sendall(b"x")
        except OSError as error:
            seen.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(world.path(client_trusts)))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(world.path(client))
    try:
        with (
            listener,
            socket.create_connection(listener.getsockname(), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as stream,
        ):
            stream.recv(1)
    finally:
        thread.join(10)
    assert isinstance(seen[0], dict), seen
    return str(dict(part[0] for part in seen[0]["subject"])["commonName"])


def test_a_host_and_the_server_trust_each_other_in_a_real_handshake(world: World) -> None:
    assert handshake(world, "web", "h1", server_trusts="host-ca", client_trusts="server-ca") == "h1"


def test_a_host_cannot_pass_for_the_server(world: World) -> None:
    with pytest.raises(ssl.SSLError, match="verify failed"):
        handshake(world, "h1", "h1", server_trusts="host-ca", client_trusts="server-ca")
    # Not even where somebody trusts the wrong authority: the certificate is for clients only.
    with pytest.raises(ssl.SSLError, match="verify failed"):
        handshake(world, "h1", "h1", server_trusts="host-ca", client_trusts="host-ca")


def test_the_servers_own_certificate_is_no_clients(world: World) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(world, "web", "web", server_trusts="server-ca", client_trusts="server-ca")


@pytest.mark.parametrize(
    ("purpose", "accepted"), [("sslclient", True), ("sslserver", False), ("smimesign", False)]
)
def test_openssl_agrees_what_a_hosts_certificate_is_good_for(world: World, purpose: str, accepted: bool) -> None:
    argv = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile"]
    done = subprocess.run([*argv, world.path("host-ca"), world.path("h1")], capture_output=True, check=False)
    assert (done.returncode == 0) == accepted, done.stderr


def test_openssl_takes_the_servers_certificate_for_its_names_alone(world: World) -> None:
    for name, accepted in [("localhost", True), ("elsewhere", False)]:
        argv = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", name]
        done = subprocess.run(
            [*argv, "-CAfile", world.path("server-ca"), world.path("web")], capture_output=True, check=False
        )
        assert (done.returncode == 0) == accepted, done.stderr


def test_even_a_server_certificate_that_the_host_ca_signed_is_none(world: World) -> None:
    key = enrolment.make_key()
    made = authority.issue_server(world.host, enrolment.public_key(key), ["localhost"], [], datetime.now(UTC))
    world.write("forged", key.decode() + authority.pem(made))
    with pytest.raises(ssl.SSLError, match="verify failed"):
        handshake(world, "forged", "h1", server_trusts="host-ca", client_trusts="host-ca")


def test_a_host_may_have_an_ed25519_key(authorities: Authorities) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    made = authority.issue_host(authorities.host, "h1", enrolment.public_der(key), 90, NOW)
    assert made.public_key() == key
