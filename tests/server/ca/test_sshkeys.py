"""SSH pairs: ssh-keygen, whose format it is, reads them."""

import subprocess
from pathlib import Path

import pytest

from oms.server.ca.sshkeys import KeyCommentError, new_pair


def test_ssh_keygen_finds_the_public_half_in_the_private_one(tmp_path: Path) -> None:
    private, line = new_pair("OMS console key for h1.example.org")
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(private)
    done = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, check=True, text=True)
    assert done.stdout.split()[:2] == line.split()[:2]
    assert line.split(maxsplit=2)[2] == "OMS console key for h1.example.org"
    (tmp_path / "key.pub").write_text(line + "\n")
    shown = subprocess.run(["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, check=True, text=True)
    assert "(ED25519)" in shown.stdout


def test_every_pair_is_another() -> None:
    assert new_pair("a")[1] != new_pair("a")[1]


@pytest.mark.parametrize(
    "comment", ["", " ", "a\nssh-ed25519 AAAA evil", "a\0", "ü", "a  b", "x" * 201, "a\x1b[2J"]
)
def test_a_comment_that_could_break_the_line_is_refused(comment: str) -> None:
    with pytest.raises(KeyCommentError, match="printable ASCII"):
        new_pair(comment)
