"""NATS keys and tokens, as far as an auth callout needs them: ed25519 keys in NATS's base32 dress, and the JWTs
that nats-server believes. Pure, with `cryptography` as the only tool.

A key is base32(prefix byte(s) + 32 raw bytes + CRC16/XMODEM, little endian) without padding; the prefix makes the
first letter say what the key is for. A token is a JWT whose `alg` is `ed25519-nkey`.
"""

import base64
import binascii
import hashlib
import time
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ACCOUNT = 0  # "A...", the kind of key that signs users
_SEED = 18 << 3  # "S..."
_RAW_LENGTH = 32

Claims = dict[str, Any]


class BadKey(ValueError):
    """A key, a seed or a token that is not what it should be."""


def _dress(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).rstrip(b"=").decode()


def _undress(text: str, length: int) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise BadKey("a key of the bus holds characters that are not base32") from None
    body, crc = raw[:-2], raw[-2:]
    if len(body) != length or binascii.crc_hqx(body, 0).to_bytes(2, "little") != crc:
        raise BadKey("a key of the bus has a wrong length or checksum: it was not copied whole")
    return body


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Issuer:
    """The account key whose signature admits hosts. Its seed can admit anybody: guard it as the key of a CA."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._key = Ed25519PrivateKey.from_private_bytes(raw)
        self.public = _dress(bytes([_ACCOUNT]) + self._key.public_key().public_bytes_raw())
        """The public half ("A..."), which stands in the configuration of nats-server."""

    def __repr__(self) -> str:
        return f"Issuer({self.public})"

    @classmethod
    def generate(cls) -> "Issuer":
        """A new random key."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_seed(cls, seed: str) -> "Issuer":
        """The key of a seed ("SA..."). Raises BadKey."""
        raw = _undress(seed.strip(), _RAW_LENGTH + 2)
        if raw[:2] != bytes([_SEED | _ACCOUNT >> 5, (_ACCOUNT & 31) << 3]):
            raise BadKey("this seed is not the seed of an account key (those begin with SA)")
        return cls(raw[2:])

    @property
    def seed(self) -> str:
        """The secret half ("SA..."), to be stored."""
        return _dress(bytes([_SEED | _ACCOUNT >> 5, (_ACCOUNT & 31) << 3]) + self._raw)

    def sign(self, subject: str, nats: Claims, **claims: str | int) -> str:
        """A token about `subject` (a public key) with the `nats` part and further claims (aud, name, exp)."""
        body: Claims = {"iat": int(time.time()), "iss": self.public, "sub": subject, "nats": nats, **claims}
        digest = hashlib.sha512(msgspec.json.encode(body)).digest()[:_RAW_LENGTH]
        body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
        head = f"{_HEADER}.{_b64(msgspec.json.encode(body))}"
        return f"{head}.{_b64(self._key.sign(head.encode()))}"


_HEADER = _b64(b'{"typ":"JWT","alg":"ed25519-nkey"}')


def payload_of(token: str | bytes) -> bytes:
    """The JSON claims of a token, *unverified*: for tokens that only nats-server could have sent us."""
    parts = (token if isinstance(token, str) else token.decode("ascii")).split(".")
    if len(parts) != 3:
        raise BadKey("this is not a token: it does not have three parts")
    return _unb64(parts[1])


def verify(token: str) -> Claims:
    """The claims of a token whose signature is that of its `iss`. Raises BadKey."""
    head, _, signature = token.rpartition(".")
    claims: Claims = msgspec.json.decode(payload_of(token))
    key = Ed25519PublicKey.from_public_bytes(_undress(claims["iss"], _RAW_LENGTH + 1)[1:])
    try:
        key.verify(_unb64(signature), head.encode())
    except InvalidSignature:
        raise BadKey("the signature of this token is not that of its issuer") from None
    return claims
