"""The SSH key pairs with which OMS opens consoles on hosts: one pair per host, made when the host is signed."""

import re

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from oms.bus.enrolment import shown

_COMMENT = re.compile(r"[!-~]+(?: [!-~]+)*")
COMMENT_CHARACTERS = 200


class KeyCommentError(ValueError):
    """The comment cannot stand in a line of a host's list of authorised keys."""


def new_pair(comment: str) -> tuple[bytes, str]:
    """A new Ed25519 pair: the private key (OpenSSH's own form, not encrypted) and the public key's line.

    The line has no options and no line end. The comment tells a host's administrator whose key it is:
    printable ASCII, at most 200 characters; it is refused rather than changed (`KeyCommentError`).
    """
    if len(comment) > COMMENT_CHARACTERS or not _COMMENT.fullmatch(comment):
        raise KeyCommentError(
            f"{shown(comment)} cannot be a key's comment: legal are 1 to {COMMENT_CHARACTERS} printable ASCII"
            " characters, with single blanks between words."
        )
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private, f"{public.decode('ascii')} {comment}"
