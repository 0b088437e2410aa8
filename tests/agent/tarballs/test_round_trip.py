"""What is packed comes out as it was, here and by other programs; and what those pack comes out here."""

import os
import subprocess
from pathlib import Path

import pytest

from oms.agent.tarballs.owners import Owners
from tests.agent.tarballs.trees import CAPABILITY, FIRST, SHIFTED, packed, scanned, seen, system, unpacked, wild
from tests.agent.templates.packages import member


def test_a_tree_comes_out_as_it_went_in(tmp_path: Path) -> None:
    tree = wild(tmp_path / "tree")
    packer = packed(tree, tmp_path / "a.tar.zst")
    found = unpacked(tmp_path / "a.tar.zst", tmp_path / "out")
    assert seen(tmp_path / "out") == seen(tree)
    assert (found.prefix, found.arch, packer.left_out) == (b"rootfs/", b"x86_64", 0)


def test_holes_take_no_room_in_the_archive_and_none_after_it(tmp_path: Path) -> None:
    tree = wild(tmp_path / "tree")
    packed(tree, tmp_path / "a.tar.zst")
    unpacked(tmp_path / "a.tar.zst", tmp_path / "out")
    assert scanned(tmp_path / "a.tar.zst").data_bytes < 200_000
    assert (tmp_path / "out/holes").stat().st_blocks <= (tree / "holes").stat().st_blocks


def test_gnu_tar_unpacks_what_is_packed_here(tmp_path: Path) -> None:
    tree = wild(tmp_path / "tree")
    packed(tree, tmp_path / "a.tar.zst", Owners())
    (tmp_path / "out").mkdir()
    options = ["--numeric-owner", "--xattrs", "--xattrs-include=user.*", "--acls", "-p"]
    subprocess.run(["tar", "-C", tmp_path / "out", *options, "-xf", tmp_path / "a.tar.zst"], check=True)
    mine, theirs = seen(tree), seen(tmp_path / "out/rootfs")
    for path in ("sbin/ping",):  # its capabilities are another container's, which only the host can see here
        mine.pop(path), theirs.pop(path)
    assert theirs == mine


@pytest.mark.parametrize("form", ["gnu", "pax", "posix"])
@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd"])
def test_what_gnu_tar_packs_comes_out_as_it_does_there(tmp_path: Path, form: str, packing: str) -> None:
    tree = wild(tmp_path / "tree")
    attributes = [] if form == "gnu" else ["--xattrs", "--xattrs-include=user.*", "--acls"]
    options = [f"--format={form}", f"--{packing}", "--numeric-owner", "--sparse", *attributes]
    subprocess.run(["tar", "-C", tree, *options, "-cf", tmp_path / "a.tar", "."], check=True)
    unpacked(tmp_path / "a.tar", tmp_path / "out", Owners())
    (tmp_path / "theirs").mkdir()
    subprocess.run(
        ["tar", "-C", tmp_path / "theirs", "--numeric-owner", "-p", *attributes, "-xf", tmp_path / "a.tar"],
        check=True,
    )
    assert seen(tmp_path / "out") == seen(tmp_path / "theirs")


@pytest.mark.parametrize("form", ["0.1", "1.0"])
def test_each_form_of_sparse_files_is_read(tmp_path: Path, form: str) -> None:
    tree = wild(tmp_path / "tree")
    options = ["--format=posix", f"--sparse-version={form}", "--sparse", "--zstd", "--numeric-owner"]
    subprocess.run(["tar", "-C", tree, *options, "-cf", tmp_path / "a.tar.zst", "."], check=True)
    unpacked(tmp_path / "a.tar.zst", tmp_path / "out", Owners())
    assert (tmp_path / "out/holes").read_bytes() == (tree / "holes").read_bytes()
    assert (tmp_path / "out/only a hole").stat().st_size == 10**7


def test_a_containers_own_numbers_stand_in_the_archive(tmp_path: Path) -> None:
    packed(wild(tmp_path / "tree"), tmp_path / "a.tar.zst")
    unpacked(tmp_path / "a.tar.zst", tmp_path / "out", Owners())
    assert (tmp_path / "out").stat().st_uid == 0
    assert os.getxattr(tmp_path / "out/sbin/ping", "security.capability") == CAPABILITY
    assert (tmp_path / "out/empty").stat().st_gid > 60000


def test_directories_that_are_no_members_are_made(tmp_path: Path) -> None:
    system(tmp_path / "a.tar.gz", member(b"var/lib/x/file", b"1"), member(b"var/lib/", kind=b"5", mode=0o700))
    unpacked(tmp_path / "a.tar.gz", tmp_path / "out")
    assert oct((tmp_path / "out/var/lib").stat().st_mode) == "0o40700"
    assert oct((tmp_path / "out/var/lib/x").stat().st_mode) == "0o40755"
    assert (tmp_path / "out/var").stat().st_uid == FIRST


def test_devices_and_sockets_are_left_out(tmp_path: Path) -> None:
    tree = wild(tmp_path / "tree")
    os.mknod(tree / "etc/null", 0o20666, os.makedev(1, 3))
    os.mknod(tree / "etc/socket", 0o140666)
    assert packed(tree, tmp_path / "a.tar.zst").left_out == 2
    unpacked(tmp_path / "a.tar.zst", tmp_path / "out")
    assert not {"null", "socket"} & {path.name for path in (tmp_path / "out/etc").iterdir()}


def test_of_a_device_in_dev_nothing_is_made(tmp_path: Path) -> None:
    system(tmp_path / "a.tar.gz", member(b"dev/null", kind=b"3"), member(b"dev/zero", kind=b"1", link=b"dev/null"))
    assert unpacked(tmp_path / "a.tar.gz", tmp_path / "out").devices == 1
    assert not list((tmp_path / "out/dev").iterdir()) if (tmp_path / "out/dev").exists() else True


def test_a_file_of_somebody_elses_is_not_packed(tmp_path: Path) -> None:
    tree = wild(tmp_path / "tree")
    os.chown(tree / "etc/passwd", 0, 0)
    with pytest.raises(Exception, match="whom the container does not have"):
        packed(tree, tmp_path / "a.tar.zst", SHIFTED)
