"""The shared part of enrolment: names, keys, requests, proofs of renewal, and when a certificate is renewed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from oms.bus import enrolment
from oms.bus.enrolment import EnrolAnswer, EnrolRequest, Refusal, RenewRequest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def private_pem(key: enrolment.PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass
class Host:
    """A host with a key and a certificate over it (self-signed: who issued it is not asked here)."""

    key: bytes
    certificate: str
    parsed: x509.Certificate


def host(key: enrolment.PrivateKey | None = None) -> Host:
    private = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "h1")])
    builder = x509.CertificateBuilder(name, name, private.public_key(), 1, NOW, NOW + timedelta(days=90))
    algorithm = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = builder.sign(private, algorithm)
    return Host(private_pem(private), made.public_bytes(serialization.Encoding.PEM).decode(), made)


def renewal(old: Host) -> RenewRequest:
    return enrolment.sign_renewal(old.key, old.certificate, enrolment.make_csr(enrolment.make_key(), "h1"), NOW)


@pytest.mark.parametrize(
    "name", ["h1", "a", "node-1.example.org", "3com", "xn--hst-una", "oms.example.org", "a" * 63]
)
def test_ordinary_host_names_are_accepted_unchanged(name: str) -> None:
    assert enrolment.hostname(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "H1", "h1\n", "h1.", "*", "a" * 64, "a." * 126 + "ab", "10.0.0.1", "1", "1.0x", "oms", "localhost", "ß"],
)
def test_a_name_that_no_host_may_have_is_refused_in_words(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        enrolment.hostname(name)
    assert caught.value.reason.endswith(".")
    assert caught.value.reason.isprintable()


@given(st.text(max_size=300))
def test_whatever_is_accepted_as_a_host_name_is_harmless(text: str) -> None:
    try:
        name = enrolment.hostname(text)
    except Refusal:
        return
    assert name == text
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert name[0] not in "-."


@pytest.mark.parametrize("text", ["h1", "1.2.3", "fe80::1%eth0", "fe80::1%$(id)", "", "1.2.3.4/8", "１.2.3.4"])
def test_what_is_no_plain_ip_address_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="not an IP address"):
        enrolment.ip_address(text)


def test_a_csr_carries_the_name_twice_and_the_keys_fingerprint_is_stable() -> None:
    key = enrolment.make_key()
    csr = x509.load_pem_x509_csr(enrolment.make_csr(key, "h1").encode())
    assert csr.subject.rfc4514_string() == "CN=h1"
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["h1"]
    assert csr.is_signature_valid
    assert enrolment.key_sha256(key) == enrolment.key_sha256(key) != enrolment.key_sha256(enrolment.make_key())


@pytest.mark.parametrize("name", ["H1", "localhost", "a" * 60 + ".example"])
def test_no_csr_is_made_for_a_name_that_would_be_refused(name: str) -> None:
    with pytest.raises(Refusal):
        enrolment.make_csr(enrolment.make_key(), name)


@pytest.mark.parametrize(
    "text", ["", "garbage", "ß", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_or_key_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="certificate"):
        enrolment.read_certificate(text)
    with pytest.raises(Refusal, match="key"):
        enrolment.public_key(text.encode())


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "Ed25519", "RSA"],
)
def test_the_old_key_vouches_for_the_new_request_over_the_wire(key: enrolment.PrivateKey) -> None:
    old = host(key)
    sent = msgspec.json.decode(msgspec.json.encode(renewal(old)), type=RenewRequest)
    enrolment.verify_renewal(old.parsed, sent, NOW + timedelta(minutes=9))
    enrolment.verify_renewal(old.parsed, sent, NOW - timedelta(minutes=9))


def test_another_key_csr_time_or_certificate_does_not_vouch() -> None:
    old, other = host(), host()
    good = renewal(old)
    foreign = enrolment.sign_renewal(other.key, old.certificate, good.csr, NOW)
    changes = {
        "csr": enrolment.make_csr(enrolment.make_key(), "h1"),
        "time": good.time + 1,
        "signature": b"",
    }
    for forged in [foreign, *(msgspec.structs.replace(good, **{key: new}) for key, new in changes.items())]:
        with pytest.raises(Refusal, match="not signed by the key"):
            enrolment.verify_renewal(old.parsed, forged, NOW)
    with pytest.raises(Refusal, match="not signed by the key"):
        enrolment.verify_renewal(other.parsed, good, NOW)


@pytest.mark.parametrize("minutes", [11, -11, 60 * 24 * 365])
def test_a_renewal_from_another_time_is_refused(minutes: int) -> None:
    old = host()
    with pytest.raises(Refusal, match="set the host's clock"):
        enrolment.verify_renewal(old.parsed, renewal(old), NOW + timedelta(minutes=minutes))


@pytest.mark.parametrize("seconds", [-(2**63), -1, 2**63])
def test_a_renewal_dated_outside_any_calendar_is_refused(seconds: int) -> None:
    old = host()
    with pytest.raises(Refusal, match="set the host's clock"):
        enrolment.verify_renewal(old.parsed, msgspec.structs.replace(renewal(old), time=seconds), NOW)


def test_a_certificate_may_be_renewed_until_thirty_days_after_its_end() -> None:
    assert enrolment.may_renew(NOW, NOW - timedelta(days=60))
    assert enrolment.may_renew(NOW, NOW + timedelta(days=30))
    assert not enrolment.may_renew(NOW, NOW + timedelta(days=30, seconds=1))


def test_hosts_renew_at_about_two_thirds_of_life_and_not_all_at_once() -> None:
    end = NOW + timedelta(days=90)
    times = [enrolment.renew_at(NOW, end, f"h{number}") for number in range(200)]
    assert min(times) >= NOW + timedelta(days=55.5)
    assert max(times) <= NOW + timedelta(days=60)
    assert max(times) - min(times) > timedelta(days=4)
    assert len(set(times)) == 200
    assert enrolment.renew_at(NOW, end, "h7") == times[7]


def test_messages_leave_out_what_is_not_known_and_refuse_what_is_too_long() -> None:
    waiting = EnrolAnswer(state="waiting", key_sha256="ab")
    assert msgspec.json.encode(waiting) == b'{"state":"waiting","key_sha256":"ab"}'
    with pytest.raises(msgspec.ValidationError, match=r"length <= 8192 .*csr"):
        msgspec.json.decode(msgspec.json.encode({"csr": "x" * 8193, "facts": {}}), type=EnrolRequest)
    with pytest.raises(msgspec.ValidationError, match="state"):
        msgspec.json.decode(b'{"state":"maybe","key_sha256":"ab"}', type=EnrolAnswer)
