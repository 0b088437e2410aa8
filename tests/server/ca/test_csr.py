"""What a CSR may ask for: each refusal has its reason, and nothing that is sent does more than be refused."""

import base64
import datetime as dt
import hashlib
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms.bus import enrolment
from oms.server.ca.csr import Refusal, review

CASES = Path(__file__).parent / "cases"
KEY = ec.generate_private_key(ec.SECP256R1())
A_SECOND = dt.timedelta(seconds=1)


def cn(text: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, text, kind)


def csr(
    *subject: x509.NameAttribute[str],
    key: CertificateIssuerPrivateKeyTypes = KEY,
    extensions: tuple[x509.ExtensionType, ...] = (),
    algorithm: hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | None = hashes.SHA256(),  # noqa: B008
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject or [cn("h1")]))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def san(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names)


def usage(**asked: bool) -> x509.KeyUsage:
    purposes = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
        " key_cert_sign crl_sign encipher_only decipher_only"
    )
    flags = dict.fromkeys(purposes.split(), False)
    return x509.KeyUsage(**(flags | asked))


def pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"


def der(text: bytes) -> bytes:
    return x509.load_pem_x509_csr(text).public_bytes(serialization.Encoding.DER)


def refusal(text: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        review(text)
    assert caught.value.reason.isascii()
    assert caught.value.reason.isprintable()
    return caught.value.reason


def test_the_agents_own_csr_is_accepted_and_its_fingerprints_are_the_agents() -> None:
    key = enrolment.make_key()
    text = enrolment.make_csr(key, "node1.example.org").encode()
    request = review(text)
    assert request.name == "node1.example.org"
    assert request.public_key == enrolment.public_key(key)
    assert request.key_sha256 == enrolment.key_sha256(key)
    assert request.csr_sha256 == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        csr(cn("h1", _ASN1Type.PrintableString)),
        csr(cn("x" * 60 + ".abc")),
        csr(key=ec.generate_private_key(ec.SECP384R1()), algorithm=hashes.SHA384()),
        csr(key=ed25519.Ed25519PrivateKey.generate(), algorithm=None),
        csr(key=rsa.generate_private_key(65537, 2048)),
        csr(extensions=(san(x509.DNSName("h1")), x509.BasicConstraints(ca=False, path_length=None))),
        csr(extensions=(usage(digital_signature=True), x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))),
        csr(extensions=(x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()),)),
        csr().replace(b"\n", b"\r\n"),
        csr().replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
    ],
    ids=["printable", "longest", "P-384", "Ed25519", "RSA", "san", "usages", "identifier", "crlf", "new"],
)
def test_ordinary_csrs_of_other_programs_are_accepted(text: bytes) -> None:
    assert review(text).csr_sha256 == hashlib.sha256(text).hexdigest()


NOT_A_NAME = "is not a host name"
NAMES = {
    "../../x": NOT_A_NAME,
    "/etc/passwd": NOT_A_NAME,
    "*": NOT_A_NAME,
    "*.example.org": NOT_A_NAME,
    "h1\x1b[2K": NOT_A_NAME,
    "h1\nh2": NOT_A_NAME,
    "h1\n": NOT_A_NAME,
    "h1\0": NOT_A_NAME,
    "h1 ": NOT_A_NAME,
    "h1.": NOT_A_NAME,
    ".h1": NOT_A_NAME,
    "a..b": NOT_A_NAME,
    "-oProxyCommand=x": NOT_A_NAME,
    "h1-": NOT_A_NAME,
    "H1": NOT_A_NAME,
    "h_1": NOT_A_NAME,
    "ｈ１": NOT_A_NAME,
    "h²": NOT_A_NAME,
    "\u202eh1": NOT_A_NAME,
    "::1": NOT_A_NAME,
    "a" * 64: NOT_A_NAME,
    "a" * 60 + ".abcd": "at most 64 characters",
    "10.0.0.1": "IP address",
    "127.1": "IP address",
    "0x7f000001": "IP address",
    "12345": "IP address",
    "oms": "reserved",
    "server": "reserved",
    "sys": "reserved",
    "bus": "reserved",
    "localhost": "own self",
    "localhost.localdomain": "own self",
    "a.localhost": "own self",
}


def unchecked_cn(text: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, text, _ASN1Type.UTF8String, _validate=False)


@pytest.mark.parametrize(("name", "reason"), NAMES.items())
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_a_name_that_no_host_may_have_is_refused(name: str, reason: str) -> None:
    assert reason in refusal(csr(unchecked_cn(name)))


def test_a_subject_with_more_or_less_than_one_name_is_refused() -> None:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x")
    both = x509.RelativeDistinguishedName([cn("h1"), organisation])
    rdn = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([both])).sign(KEY, hashes.SHA256())
    empty = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(KEY, hashes.SHA256())
    for text in [
        csr(cn("h1"), cn("h2")),
        csr(cn("h1"), cn("h1")),
        csr(cn("h1"), organisation),
        csr(organisation),
        rdn.public_bytes(serialization.Encoding.PEM),
        empty.public_bytes(serialization.Encoding.PEM),
    ]:
        assert "exactly one common name" in refusal(text)


@pytest.mark.parametrize(
    "kind", [_ASN1Type.BMPString, _ASN1Type.UniversalString, _ASN1Type.T61String, _ASN1Type.IA5String]
)
def test_a_name_in_an_unusual_encoding_is_refused(kind: _ASN1Type) -> None:
    reason = refusal(csr(cn("h1", kind)))
    assert "UTF8String or a PrintableString" in reason or "cannot be read" in reason


def test_a_name_in_two_bytes_a_character_is_refused_for_what_it_is() -> None:
    assert "UTF8String or a PrintableString" in refusal(csr(cn("h1", _ASN1Type.BMPString)))


@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName("h2")],
        [x509.DNSName("h1"), x509.DNSName("h2")],
        [x509.DNSName("H1")],
        [x509.DNSName("*.h1")],
        [x509.IPAddress(ipaddress.ip_address("10.0.0.1"))],
        [x509.DNSName("h1"), x509.UniformResourceIdentifier("oms://server/sys")],
        [x509.RFC822Name("root@h1")],
        [x509.DirectoryName(x509.Name([cn("h1")]))],
    ],
)
def test_an_alternative_name_other_than_the_name_is_refused(names: list[x509.GeneralName]) -> None:
    assert "must be the DNS name 'h1' alone" in refusal(csr(extensions=(san(*names),)))


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        (x509.BasicConstraints(ca=True, path_length=None), "CA:TRUE"),
        (usage(key_cert_sign=True), "keyCertSign"),
        (usage(crl_sign=True), "cRLSign"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), "serverAuth"),
        (
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]),
            "codeSigning",
        ),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), "anyExtendedKeyUsage"),
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.2.3.4")]), "1.2.3.4"),
        (x509.NameConstraints([x509.DNSName("h1")], None), "NameConstraints"),
        (x509.TLSFeature([x509.TLSFeatureType.status_request]), "TLSFeature"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), "1.2.3.4"),
    ],
)
def test_asking_for_more_than_a_host_gets_is_refused_by_name(extension: x509.ExtensionType, reason: str) -> None:
    assert reason in refusal(csr(extensions=(extension,)))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("explicit-curve", "explicit curve parameters"),
        ("ecdsa-sha1", "SHA-256, SHA-384 or SHA-512"),
        ("rsa-sha1", "SHA-256, SHA-384 or SHA-512"),
        ("rsa-md5", "SHA-256, SHA-384 or SHA-512"),
        ("rsa-pss", "SHA-256, SHA-384 or SHA-512"),
        ("dsa", "Keys of this kind"),
        ("challenge-password", "challenge password"),
    ],
)
def test_a_weak_or_odd_csr_of_another_program_is_refused(case: str, reason: str) -> None:
    assert reason in refusal((CASES / f"{case}.pem").read_bytes())


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (rsa.generate_private_key(65537, 1024), "RSA key (1024 bits)"),
        (rsa.generate_private_key(3, 2048), "RSA key (2048 bits)"),
        (ec.generate_private_key(ec.SECP521R1()), "secp521r1"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (ed448.Ed448PrivateKey.generate(), "Keys of this kind"),
    ],
)
def test_a_key_that_is_weak_or_unusual_is_refused(key: CertificateIssuerPrivateKeyTypes, reason: str) -> None:
    algorithm = None if isinstance(key, ed448.Ed448PrivateKey) else hashes.SHA256()
    assert reason in refusal(csr(key=key, algorithm=algorithm))


def test_a_hash_that_is_too_short_is_refused() -> None:
    assert "SHA-256, SHA-384 or SHA-512" in refusal(csr(algorithm=hashes.SHA224()))


def test_a_csr_that_its_own_key_did_not_sign_is_refused() -> None:
    whole = der(csr())
    changed = whole.replace(b"\x0c\x02h1", b"\x0c\x02h2")
    assert changed != whole
    assert "signature is wrong" in refusal(pem(changed))


def test_one_csr_and_nothing_else_is_read() -> None:
    good = csr()
    for text in [
        b"",
        b"garbage",
        good + good,
        b"# a comment\n" + good,
        good + b"x",
        pem(b""),
        pem(b"\x30\x00"),
        good.replace(b"REQUEST-----\n", b"REQUEST-----\n====", 1),
        good.replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"),
        pem(der(good) + b"\0"),
        enrolment.make_key(),
    ]:
        assert "CSR" in refusal(text)


def test_a_megabyte_is_refused_for_its_size_alone() -> None:
    assert "at most 8192" in refusal(csr() + b"\n" * 2**20)


@settings(deadline=A_SECOND, max_examples=200)
@given(st.binary(max_size=9000))
def test_any_bytes_are_refused(text: bytes) -> None:
    assert refusal(text)


@settings(deadline=A_SECOND, max_examples=200)
@given(st.binary(max_size=600))
def test_any_bytes_in_the_right_armour_are_refused(body: bytes) -> None:
    assert refusal(pem(body))


SEEDS = [
    der(csr()),
    der(csr(extensions=(san(x509.DNSName("h1")), usage(digital_signature=True)))),
    der(csr(extensions=(san(x509.DirectoryName(x509.Name([cn("h1")]))),))),
    der(csr(key=rsa.generate_private_key(65537, 2048))),
    der(csr(key=ed25519.Ed25519PrivateKey.generate(), algorithm=None)),
    *(der(path.read_bytes()) for path in sorted(CASES.glob("*.pem"))),
]


@settings(deadline=A_SECOND, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(SEEDS))
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_a_csr_with_changed_bytes_is_refused(data: st.DataObject, seed: bytes) -> None:
    changed = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        new = data.draw(st.binary(max_size=3))
        changed[place : place + data.draw(st.integers(0, 3))] = new
    if bytes(changed) not in SEEDS:
        assert refusal(pem(bytes(changed)))


def tlv(tag: int, body: bytes) -> bytes:
    size = len(body)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def signed(tbs: bytes) -> bytes:
    """A CSR around whatever is asked for, with a right signature: what a hostile program would send."""
    signature = KEY.sign(tbs, ec.ECDSA(hashes.SHA256()))
    ecdsa_sha256 = tlv(0x30, bytes.fromhex("06082a8648ce3d040302"))
    return pem(tlv(0x30, tbs + ecdsa_sha256 + tlv(0x03, b"\0" + signature)))


RICH = x509.load_pem_x509_csr(
    csr(
        extensions=(
            san(x509.DNSName("h1")),
            x509.BasicConstraints(ca=False, path_length=None),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
            usage(digital_signature=True),
        )
    )
).tbs_certrequest_bytes


def test_what_the_fuzzing_below_signs_is_accepted_when_nothing_is_changed() -> None:
    assert review(signed(RICH)).name == "h1"


@settings(deadline=A_SECOND, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_a_well_signed_csr_with_odd_contents_yields_a_legal_name_or_a_refusal(data: st.DataObject) -> None:
    tbs = bytearray(RICH)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(tbs) - 1))
        new = data.draw(st.binary(min_size=1, max_size=2))
        tbs[place : place + len(new)] = new
    try:
        request = review(signed(bytes(tbs)))
    except Refusal:
        return
    assert enrolment.hostname(request.name) == request.name
    assert request.public_key == enrolment.public_der(KEY.public_key())
