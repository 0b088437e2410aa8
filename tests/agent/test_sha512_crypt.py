"""Passwords come to what every Linux makes of them."""

import subprocess

import pytest

from oms.agent.sha512_crypt import hashed


@pytest.mark.parametrize("password", ["x", "a secret", "Grüße, 世界", "p" * 63, "p" * 64, "p" * 128, "$6$a$b"])
@pytest.mark.parametrize("salt", ["a", "saltstring", "./0123456789ABCD"])
def test_as_openssl_has_it(password: str, salt: str) -> None:
    command = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    made = subprocess.run(command, input=f"{password}\n".encode(), check=True, capture_output=True)
    assert hashed(password, salt) == made.stdout.decode().strip()


def test_a_salt_is_another_each_time() -> None:
    one, other = hashed("x"), hashed("x")
    assert one != other
    assert hashed("x", one.split("$")[2]) == one
