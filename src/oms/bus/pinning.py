"""How an OMS is known: by the CA that a person was told of, and by nothing else."""

import hashlib
import re
import ssl


class NotOurs(Exception):
    """What answers is not the OMS whose fingerprint was given, or none was given."""


def plain(fingerprint: str) -> str:
    """A fingerprint without the colons, blanks and capitals that people write it with."""
    return re.sub(r"[:\s]", "", fingerprint).lower()


def sha256(pem: str) -> str:
    """The fingerprint of a certificate: 64 lower-case hexadecimal digits. Raises ValueError where it is none."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()


def check(pem: str, wanted: str, where: str) -> None:
    """Raises NotOurs for a CA that is not the one wanted (a plain fingerprint, or "": any)."""
    try:
        found = sha256(pem)
    except ValueError as error:
        raise NotOurs(f"{where} gives no CA certificate: it is no OMS.") from error
    if wanted not in ("", found):
        raise NotOurs(
            f"{where} is not the OMS that was meant: its CA has the fingerprint {found}, given was {wanted}."
            " Nothing was sent to it."
        )


def unverified() -> ssl.SSLContext:
    """For the one question whose answer is checked by `check`: which CA is yours?"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the machine's own CAs, which take long to read
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
