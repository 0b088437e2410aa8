"""What a request for a host certificate (CSR) may look like: everything else is refused, with the reason.

A CSR comes from anybody who can reach the port, so it is hostile until shown harmless. The rules are pure:
bytes in, the name and the key out. The same review runs where a CSR is handed in and again in the signer,
which believes nobody. A request can ask for nothing but a name: the certificate is made from a fixed template.
"""

import base64
import hashlib
import re

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.oid import SignatureAlgorithmOID as Algorithm

from oms.bus.enrolment import (
    COMMON_NAME_CHARACTERS,
    CSR_BYTES,
    UNREADABLE,
    PublicKey,
    Refusal,
    hostname,
    public_der,
    shown,
)

__all__ = ["Refusal", "Request", "review"]

_ARMOUR = re.compile(
    rb"\s*-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----\s*"
)
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
_SIGNATURES: dict[type[PublicKey], frozenset[x509.ObjectIdentifier]] = {
    ec.EllipticCurvePublicKey: frozenset(
        {Algorithm.ECDSA_WITH_SHA256, Algorithm.ECDSA_WITH_SHA384, Algorithm.ECDSA_WITH_SHA512}
    ),
    rsa.RSAPublicKey: frozenset({Algorithm.RSA_WITH_SHA256, Algorithm.RSA_WITH_SHA384, Algorithm.RSA_WITH_SHA512}),
    ed25519.Ed25519PublicKey: frozenset({Algorithm.ED25519}),
}
_PURPOSES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}
_LEGAL_KEYS = "Legal are ECDSA keys on the named curves P-256 and P-384, Ed25519, and RSA of 2048 to 4096 bits."


class Request(msgspec.Struct, frozen=True):
    """A reviewed CSR: who asks, with which key (DER, SubjectPublicKeyInfo), and the fingerprints to compare.

    `key_sha256` is over the public key; `csr_sha256` is over the exact bytes that were reviewed.
    """

    name: str
    public_key: bytes
    key_sha256: str
    csr_sha256: str


def review(pem: bytes) -> Request:
    """The name and key that a CSR in PEM form asks for; `Refusal` with the reason for anything not allowed."""
    csr = _parse(pem)
    try:
        key = _key(csr)
        _signature(csr, key)
        name = _name(csr)
        _extensions(csr, name)
    except Refusal:
        raise
    except UNREADABLE as error:
        raise Refusal("The CSR has a part that cannot be read, or that is there twice.") from error
    der = public_der(key)
    return Request(name, der, hashlib.sha256(der).hexdigest(), hashlib.sha256(pem).hexdigest())


def _parse(pem: bytes) -> x509.CertificateSigningRequest:
    if len(pem) > CSR_BYTES:
        raise Refusal(f"The CSR has {len(pem)} bytes; at most {CSR_BYTES} are read.")
    armour = _ARMOUR.fullmatch(pem)
    if armour is None:
        raise Refusal("This is not one CSR in PEM form ('-----BEGIN CERTIFICATE REQUEST-----') and nothing else.")
    try:
        der = base64.b64decode(re.sub(rb"[\r\n]", b"", armour[2]), validate=True)
        return x509.load_der_x509_csr(der)
    except UNREADABLE as error:
        raise Refusal("The PEM text does not hold a CSR (PKCS#10, DER).") from error


def _key(csr: x509.CertificateSigningRequest) -> PublicKey:
    """The public key, if it is of a kind and strength that is accepted."""
    try:
        key = csr.public_key()
    except UNREADABLE as error:
        raise Refusal(f"The public key cannot be used. {_LEGAL_KEYS}") from error
    match key:
        case ec.EllipticCurvePublicKey():
            if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
                raise Refusal(f"The curve {key.curve.name} is not accepted. {_LEGAL_KEYS}")
        case rsa.RSAPublicKey():
            # The exponent's range is NIST's; a huge one would also make every check of a signature slow.
            if not (2048 <= key.key_size <= 4096 and 2**16 < key.public_numbers().e < 2**64):
                raise Refusal(f"This RSA key ({key.key_size} bits) is not accepted. {_LEGAL_KEYS}")
        case ed25519.Ed25519PublicKey():
            pass
        case _:
            raise Refusal(f"Keys of this kind are not accepted. {_LEGAL_KEYS}")
    # Curves spelled out as parameters, and shortened points, can be read, but one key has one form here.
    if public_der(key) not in csr.tbs_certrequest_bytes:
        raise Refusal(f"The public key is not in its usual form (explicit curve parameters?). {_LEGAL_KEYS}")
    return key


def _signature(csr: x509.CertificateSigningRequest, key: PublicKey) -> None:
    """The asker has the private key: the CSR is signed by the key in it, with a hash that still holds."""
    accepted = next(oids for kind, oids in _SIGNATURES.items() if isinstance(key, kind))
    if csr.signature_algorithm_oid not in accepted:
        raise Refusal("The CSR's signature must be the key's own kind with SHA-256, SHA-384 or SHA-512.")
    if not csr.is_signature_valid:
        raise Refusal("The CSR's signature is wrong: it was not made by the key in it, or the CSR was changed.")


def _name(csr: x509.CertificateSigningRequest) -> str:
    """The one common name, which is the whole subject."""
    attributes = list(csr.subject)
    if [attribute.oid for attribute in attributes] != [NameOID.COMMON_NAME]:
        raise Refusal("The CSR's subject must be exactly one common name (CN) and nothing else.")
    text = attributes[0].value
    if not isinstance(text, str):
        raise Refusal("The common name must be text.")
    name = hostname(text)
    if len(name) > COMMON_NAME_CHARACTERS:
        raise Refusal(f"{shown(name)} is too long for a certificate: at most {COMMON_NAME_CHARACTERS} characters.")
    if csr.subject.public_bytes() not in (_subject(name, 0x0C), _subject(name, 0x13)):
        raise Refusal("The common name must be a UTF8String or a PrintableString.")
    return name


def _subject(name: str, string_tag: int) -> bytes:
    """The DER form of the subject CN=name. All lengths fit one byte, as a name has at most 64 characters."""
    der = bytes([string_tag, len(name)]) + name.encode("ascii")
    der = b"\x06\x03\x55\x04\x03" + der
    for tag in (0x30, 0x31, 0x30):
        der = bytes([tag, len(der)]) + der
    return der


def _extensions(csr: x509.CertificateSigningRequest, name: str) -> None:
    attributes = [attribute.oid for attribute in csr.attributes]
    if attributes not in ([], [_EXTENSION_REQUEST]):
        raise Refusal("The CSR carries attributes (a challenge password?): only requested extensions are allowed.")
    for extension in csr.extensions:
        _extension(extension.value, name)


def _extension(value: x509.ExtensionType, name: str) -> None:
    """Nothing asked for here gets into the certificate: whoever asks for more than it gives is told so."""
    match value:
        case x509.SubjectAlternativeName():
            if list(value) != [x509.DNSName(name)]:
                raise Refusal(f"The subject alternative name must be the DNS name {shown(name)} alone.")
        case x509.BasicConstraints():
            if value.ca:
                raise Refusal("The CSR asks to be a certificate authority (CA:TRUE): hosts cannot be.")
        case x509.KeyUsage():
            if value.key_cert_sign or value.crl_sign:
                raise Refusal("The CSR asks for keyCertSign or cRLSign: hosts cannot sign certificates.")
        case x509.ExtendedKeyUsage():
            _purposes(value)
        case x509.SubjectKeyIdentifier():
            pass
        case x509.UnrecognizedExtension():
            raise Refusal(f"The CSR asks for the unknown extension {value.oid.dotted_string}: leave it out.")
        case _:
            raise Refusal(f"The CSR asks for the extension {type(value).__name__}: leave it out.")


def _purposes(value: x509.ExtendedKeyUsage) -> None:
    surplus = [_PURPOSES.get(oid, oid.dotted_string) for oid in value if oid != _CLIENT]
    if surplus:
        raise Refusal(f"The CSR asks for {', '.join(surplus[:8])}: hosts get clientAuth only.")
