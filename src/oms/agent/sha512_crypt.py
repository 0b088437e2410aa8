"""A password as Linux keeps it in /etc/shadow: crypt(3)'s SHA-512. Pure, but for the salt where none is given.

Python has lost its own in 3.13, and the programs that make one want the password as an argument, where every
account of the host could read it.

Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", 2007 (the steps are numbered there).
"""

import hashlib
import secrets
from typing import Final

ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SALT_LENGTH: Final = 16
ROUNDS: Final = 5000
"""The one number for which the result does not name it."""
ORDER: Final = tuple((first, (first + 21) % 63, (first + 42) % 63) for first in (22 * n % 63 for n in range(21)))
"""Which bytes stand together in the result, three at a time; the last of the 64 stands alone."""


def hashed(password: str, salt: str = "") -> str:
    """`$6$SALT$...`; with a salt of its own unless one is given."""
    salt = salt or "".join(secrets.choice(ALPHABET) for _ in range(SALT_LENGTH))
    digest = _digest(password.encode(), salt.encode())
    return f"$6${salt}${_shown(digest)}"


def _digest(password: bytes, salt: bytes) -> bytes:
    both = _sha(password + salt + password)  # steps 4 to 8
    begin = password + salt + _stretched(both, len(password))  # 1 to 3, 9, 10
    length = len(password)
    while length:  # 11
        begin += both if length & 1 else password
        length >>= 1
    result = _sha(begin)  # 12
    password = _stretched(_sha(password * len(password)), len(password))  # 13 to 16
    salt = _stretched(_sha(salt * (16 + result[0])), len(salt))  # 17 to 20
    for number in range(ROUNDS):  # 21
        odd = number & 1
        parts = (
            password if odd else result,
            salt if number % 3 else b"",
            password if number % 7 else b"",
            result if odd else password,
        )
        result = _sha(b"".join(parts))
    return result


def _sha(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def _stretched(digest: bytes, length: int) -> bytes:
    return (digest * (length // len(digest) + 1))[:length]


def _shown(digest: bytes) -> str:  # 22
    groups = [_letters(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in ORDER]
    return "".join(groups) + _letters(digest[63], 2)


def _letters(number: int, count: int) -> str:
    return "".join(ALPHABET[number >> 6 * place & 63] for place in range(count))
