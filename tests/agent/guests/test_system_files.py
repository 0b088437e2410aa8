"""Files in a root file system that a stranger may have laid traps in."""

import os
import time
from pathlib import Path

import pytest

from oms.agent import sha512_crypt
from oms.agent.guests import system_files
from oms.agent.host import foreign_root
from oms.agent.host.foreign_root import Unfit
from oms.contract.types import Secret

SHADOW = "daemon:*:1:0:99999:7:::\nroot:!:1:0:99999:7:::\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/shadow").write_text(SHADOW)
    (made / "etc/shadow").chmod(0o640)
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file of the host, which nothing may touch."""
    file = tmp_path / "shadow"
    file.write_text(SHADOW)
    return file


def test_a_password_is_kept_as_linux_does(root: Path) -> None:
    system_files.set_password(root, (), Secret("päß"))
    daemon, ours = (root / "etc/shadow").read_text().splitlines()
    assert daemon == "daemon:*:1:0:99999:7:::"
    name, hashed, day, *rest = ours.split(":")
    assert (name, rest) == ("root", ["0", "99999", "7", "", "", ""])
    assert hashed == sha512_crypt.hashed("päß", hashed.split("$")[2])
    assert abs(int(day) - time.time() // 86400) <= 1
    assert (root / "etc/shadow").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (root / "etc").iterdir()] == ["shadow"]


def test_a_link_is_not_followed_be_it_the_file_or_its_directory(root: Path, outside: Path) -> None:
    (root / "etc/shadow").unlink()
    (root / "etc/shadow").symlink_to(outside)
    with pytest.raises(Unfit):
        system_files.set_password(root, (), Secret("x"))
    (root / "etc/shadow").unlink()
    (root / "etc").rmdir()
    (root / "etc").symlink_to(outside.parent)
    with pytest.raises(Unfit, match="/etc is no directory"):
        system_files.set_password(root, (), Secret("x"))
    assert outside.read_text() == SHADOW


def test_name_servers_take_the_place_of_a_link_and_leave_what_it_led_to(root: Path, outside: Path) -> None:
    (root / "etc/resolv.conf").symlink_to(outside)
    assert system_files.resolver(root) == ((), ())
    system_files.set_resolver(root, (), ("10.0.0.1", "10.0.0.2"), ("example.org",))
    assert outside.read_text() == SHADOW
    assert not (root / "etc/resolv.conf").is_symlink()
    assert system_files.resolver(root) == (("10.0.0.1", "10.0.0.2"), ("example.org",))
    system_files.set_resolver(root, (), None, ())
    assert system_files.resolver(root) == (("10.0.0.1", "10.0.0.2"), ())


def test_a_pipe_a_directory_or_a_flood_in_a_files_place_holds_up_nobody(root: Path) -> None:
    (root / "etc/shadow").unlink()
    os.mkfifo(root / "etc/shadow")
    with pytest.raises(Unfit, match="no regular file"):
        system_files.set_password(root, (), Secret("x"))
    (root / "etc/resolv.conf").mkdir()
    with pytest.raises(Unfit):
        system_files.set_resolver(root, (), ("10.0.0.1",), None)
    with (root / "etc/hosts").open("wb") as file:
        file.truncate(2 * foreign_root.LARGEST_BYTES)
    with pytest.raises(Unfit, match="longer"):
        system_files.set_hostname(root, (), "a")


def test_a_root_without_an_account_or_shadow_says_so(root: Path) -> None:
    (root / "etc/shadow").write_text("daemon:*::::::\n")
    with pytest.raises(Unfit, match="has no root"):
        system_files.set_password(root, (), Secret("x"))
    (root / "etc/shadow").unlink()
    with pytest.raises(Unfit, match="keeps no passwords"):
        system_files.set_password(root, (), Secret("x"))


def test_a_strangers_words_in_its_files_are_none_of_ours() -> None:
    text = "nameserver 10.0.0.1\nnameserver $(reboot)\nsearch a b;c d\nnameserver " + "9" * 300 + "\nsearch\n"
    assert system_files.resolver_of(text) == (("10.0.0.1",), ())


def test_a_path_never_leads_out(root: Path) -> None:
    for path in ("../x", "etc/../../x", "etc//x", "/etc/x"):
        with pytest.raises(ValueError, match="no plain path"):
            foreign_root.replace(root, path, b"", owner=(0, 0))
