"""OMS has one line in the host's list of SSH keys, and touches no other."""

from pathlib import Path

import pytest

from oms.agent.host.authorized_keys import KeyRefused, install, remove
from oms.server.ca.sshkeys import new_pair

HOST, OTHER = "1" * 32, "2" * 32
FOREIGN = b'# mine\nssh-rsa AAAAB3 root@desk\n\n  command="x y" ssh-ed25519 AAAAC3 me\nlast without an end'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".ssh" / "authorized_keys"


def key() -> str:
    return new_pair("OMS for h1")[1]


def test_the_key_stands_there_with_restrictions_and_the_file_is_private(path: Path) -> None:
    public = key()
    assert install(path, HOST, public)
    kind, body, *_ = public.split()
    assert path.read_text() == f"restrict,pty,port-forwarding {kind} {body} opennode-oms:{HOST}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["authorized_keys"]


def test_the_same_key_again_changes_nothing_and_a_new_one_replaces_it(path: Path) -> None:
    public = key()
    install(path, HOST, public)
    inode = path.stat().st_ino
    assert not install(path, HOST, public)
    assert path.stat().st_ino == inode
    newer = key()
    assert install(path, HOST, newer)
    assert newer.split()[1] in path.read_text()
    assert public.split()[1] not in path.read_text()


def test_lines_of_others_stay_byte_for_byte(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(FOREIGN)
    install(path, OTHER, key())
    install(path, HOST, key())
    assert path.read_bytes().startswith(FOREIGN + b"\n")
    assert path.read_bytes().count(b"restrict,pty") == 2
    assert remove(path, HOST)
    assert not remove(path, HOST)
    assert remove(path, OTHER)
    assert path.read_bytes() == FOREIGN + b"\n"


def test_where_the_list_is_a_link_its_file_is_changed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    shared = tmp_path / "shared"
    shared.write_bytes(b"ssh-rsa AAAA a\n")
    path.symlink_to(shared)
    install(path, HOST, key())
    assert path.is_symlink()
    assert b"restrict,pty" in shared.read_bytes()


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-dss AAAAB3NzaC1kc3MAAACB",
        'command="id" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA',
        "ssh-ed25519 AAAAC3NzaC1yc2EAAAAD",
        "x" * 100_000,
    ],
)
def test_what_is_no_key_is_refused(path: Path, odd: str) -> None:
    with pytest.raises(KeyRefused):
        install(path, HOST, odd)
    assert not path.exists()


def test_a_key_with_a_second_line_brings_no_second_line(path: Path) -> None:
    public = key()
    install(path, HOST, public + "\nssh-rsa AAAA evil")
    assert path.read_text().count("\n") == 1
    kind, body, *_ = public.split()
    with pytest.raises(KeyRefused):
        install(path, HOST, f"{kind} {body}\nssh-rsa AAAA evil")


def test_a_list_that_cannot_be_read_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(OSError, match="larger"):
        install(path, HOST, key())
    assert path.stat().st_size == 2_000_000
