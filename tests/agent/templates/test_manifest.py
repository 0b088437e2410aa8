"""Manifests: read as three products write them, written as all read them."""

import pytest

from oms.agent.templates import manifest
from oms.agent.templates.appliance import BadPackage
from oms.agent.templates.manifest import Digest

ONE, TWO = "ab" * 32, "0f" * 20


@pytest.mark.parametrize(
    "text",
    [
        f"SHA256(a.ovf)= {ONE}\nSHA1(disk (1).vmdk)= {TWO}\n",
        f"SHA256 (a.ovf) = {ONE.upper()}\r\nSHA1 (disk (1).vmdk) = {TWO}\r\n",
        f"SHA-256(a.ovf)={ONE}\n\nSHA-1(disk (1).vmdk)={TWO}",
    ],
)
def test_digests_are_read(text: str) -> None:
    assert manifest.read(text.encode()) == {"a.ovf": Digest("sha256", ONE), "disk (1).vmdk": Digest("sha1", TWO)}


@pytest.mark.parametrize(
    "text",
    ["rubbish", f"MD5(a)= {'0' * 32}", f"SHA256(a)= {TWO}", f"SHA256()= {ONE}", f"SHA256(a)= {ONE[:-1]}g", "\xff"],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadPackage, match="a line that cannot be read"):
        manifest.read(text.encode("latin-1"))


def test_a_long_one_is_refused() -> None:
    with pytest.raises(BadPackage, match="65536 are legal"):
        manifest.read(b"\n" * 70_000)


def test_what_is_written_is_read_again() -> None:
    text = manifest.written({"a.ovf": ONE})
    assert text == f"SHA256(a.ovf)= {ONE}\n".encode()
    assert manifest.read(text) == {"a.ovf": Digest("sha256", ONE)}
