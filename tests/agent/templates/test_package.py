"""Templates by name: what is one, what is refused before anything is made of it, and what is never followed."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from oms.agent.templates import ovf_writing, package
from oms.agent.templates.package import Package
from oms.contract.errors import FuncManError, NotThere, Unusable
from tests.agent.templates.packages import (
    appliance,
    header,
    image,
    listing,
    member,
    ova,
    ovf_of,
    packed,
    tar,
)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return image(tmp_path / "disk.vmdk")


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    directory = tmp_path / "templates"
    directory.mkdir()
    return directory


@asynccontextmanager
async def refused(templates: Path, name: str = "a") -> AsyncIterator[pytest.ExceptionInfo[FuncManError]]:
    """That the template is refused, with nothing left behind and nothing left open."""
    before, open_before = set(templates.rglob("*")), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(FuncManError) as caught:
        async with package.opened(templates, name):
            pass
    yield caught
    assert set(templates.rglob("*")) == before
    assert len(os.listdir("/proc/self/fd")) == open_before  # noqa: PTH208


async def found(templates: Path, name: str = "a") -> Package:
    async with package.opened(templates, name) as opened:
        return opened


def test_names_are_of_archives_and_directories_with_a_description(templates: Path, tmp_path: Path) -> None:
    for name in ("b.ova", "a.ova", "a.tar", "Windows 10.ova", ".hidden.ova", ".ova", "-x.ova"):
        (templates / name).touch()
    for name in ("c", "d", "a", "e.ova", ".staging"):
        (templates / name).mkdir()
    for name in ("c/c.ovf", "a/x.OVF", "e.ova/x.ovf", ".staging/x.ovf"):
        (templates / name).touch()
    (tmp_path / "foreign.ova").touch()
    (templates / "link.ova").symlink_to(tmp_path / "foreign.ova")
    (templates / "linked").symlink_to(templates / "c")
    os.mkfifo(templates / "pipe.ova")
    assert package.names(templates) == ["a", "b", "c"]


async def test_an_archive_of_another_product_is_opened(templates: Path, disk: Path) -> None:
    text = ovf_of("vmware", size=disk.stat().st_size)
    files: dict[str, bytes | Path] = {"web01.ovf": text, "web01-disk1.vmdk": disk, "web01-file1.nvram": b"nvram!"}
    tar(templates / "a.ova", {"web01.ovf": text, "web01.mf": listing(files), **files, "web01.cert": b"x"})
    opened = await found(templates)
    assert opened.appliance.name == "web01"
    assert opened.parts["web01-disk1.vmdk"].size == disk.stat().st_size
    assert set(opened.digests) == set(files)


async def test_a_directory_is_opened_and_what_else_lies_in_it_is_not_looked_at(
    templates: Path, disk: Path
) -> None:
    (templates / "a").mkdir()
    (templates / "a/vm.ovf").write_bytes(ovf_of("vmware", size=disk.stat().st_size))
    disk.rename(templates / "a/web01-disk1.vmdk")
    (templates / "a/notes.txt").symlink_to("/etc/shadow")
    opened = await found(templates)
    assert set(opened.parts) == {"vm.ovf", "web01-disk1.vmdk"}


async def test_the_key_is_another_for_another_content(templates: Path, disk: Path) -> None:
    made = appliance(packed("d.vmdk", disk))
    path = ova(templates / "a.ova", made, {"d.vmdk": disk})
    first = await found(templates)
    assert (await found(templates)).key == first.key
    path.unlink()
    ova(templates / "a.ova", made, {"d.vmdk": disk})
    assert (await found(templates)).key != first.key


async def test_what_is_not_there_is_named(templates: Path) -> None:
    async with refused(templates, "nobody") as caught:
        assert isinstance(caught.value, NotThere)
        assert "no template 'nobody'" in caught.value.message
    (templates / "file").touch()
    async with refused(templates, "file") as caught:
        assert isinstance(caught.value, NotThere)


@pytest.mark.parametrize("place", ["a.ova", "a", "a/vm.ovf", "a/web01-disk1.vmdk"])
async def test_no_link_is_followed(templates: Path, disk: Path, tmp_path: Path, place: str) -> None:
    (templates / "a").mkdir()
    (templates / "a/vm.ovf").write_bytes(ovf_of("vmware", size=disk.stat().st_size))
    disk.rename(templates / "a/web01-disk1.vmdk")
    await found(templates)
    if place == "a.ova":
        (templates / place).symlink_to(tar(tmp_path / "outside.ova", {"x": b""}))
    else:
        (templates / place).rename(tmp_path / "outside")
        (templates / place).symlink_to(tmp_path / "outside")
    async with refused(templates) as caught:
        assert isinstance(caught.value, Unusable)
        assert f"{Path(place).name!r} is a link" in caught.value.message


async def test_what_is_no_file_is_refused_and_never_waited_for(templates: Path) -> None:
    os.mkfifo(templates / "a.ova")
    async with refused(templates) as caught:
        assert "no regular file" in caught.value.message
    (templates / "b").mkdir()
    os.mkfifo(templates / "b/b.ovf")
    async with refused(templates, "b") as caught:
        assert "no regular file" in caught.value.message


async def test_a_hostile_archive_is_refused_by_its_members_name(templates: Path, disk: Path) -> None:
    text = ovf_writing.written(appliance(packed("d.vmdk", disk)))
    honest = member(b"a.ovf", text) + member(b"d.vmdk", disk.read_bytes())
    (templates / "a.ova").write_bytes(honest + header(b"evil", kind=b"2", link=b"/etc/shadow") + bytes(1024))
    async with refused(templates) as caught:
        assert caught.value.message == (
            "Template 'a' is refused: its member 'evil' is a symbolic link; legal are regular files"
        )
    (templates / "a.ova").write_bytes(honest + member(b"stray.sh", b"#!/bin/sh") + bytes(1024))
    async with refused(templates) as caught:
        assert "its member 'stray.sh' is none of the files that its .ovf lists" in caught.value.message


async def test_files_must_be_what_the_description_says(templates: Path, disk: Path) -> None:
    made = appliance(packed("d.vmdk", disk))
    cases: list[tuple[dict[str, bytes | Path], str]] = [
        ({}, "'d.vmdk' is not there"),
        ({"d.vmdk": b"short"}, "has 5 bytes and should have"),
        ({"d.vmdk": disk, "second.ovf": b""}, "2 files with the ending .ovf"),
    ]
    for files, why in cases:
        ova(templates / "a.ova", made, files, manifest=False)
        async with refused(templates) as caught:
            assert why in caught.value.message
    tar(templates / "a.ova", {"d.vmdk": disk})
    async with refused(templates) as caught:
        assert "0 files with the ending .ovf" in caught.value.message


async def test_a_disk_may_not_be_larger_than_declared(templates: Path, disk: Path) -> None:
    ova(templates / "a.ova", appliance(packed("d.vmdk", disk, size_mb=63)), {"d.vmdk": disk})
    async with refused(templates) as caught:
        assert "'d.vmdk' has a disk of 67108864 bytes, and its .ovf declares 66060288" in caught.value.message


async def test_a_disk_in_another_format_than_declared_is_refused(templates: Path, tmp_path: Path) -> None:
    qcow2 = image(tmp_path / "d.vmdk", "qcow2")
    ova(templates / "a.ova", appliance(packed("d.vmdk", qcow2)), {"d.vmdk": qcow2})
    async with refused(templates) as caught:
        assert "its file 'd.vmdk' is no vmdk in one file" in caught.value.message


async def test_a_manifest_is_held_to(templates: Path, disk: Path) -> None:
    made = appliance(packed("d.vmdk", disk))
    text = ovf_writing.written(made)
    for digests, why in (
        (listing({"d.vmdk": disk}), "says nothing of its file 'a.ovf'"),
        (listing({"a.ovf": text}), "says nothing of its file 'd.vmdk'"),
        (listing({"a.ovf": b"other", "d.vmdk": disk}), "'a.ovf' was changed or damaged"),
        (b"rubbish", "a line that cannot be read"),
    ):
        tar(templates / "a.ova", {"a.ovf": text, "a.mf": digests, "d.vmdk": disk})
        async with refused(templates) as caught:
            assert why in caught.value.message


async def test_a_settings_file_of_gigabytes_is_not_read(templates: Path) -> None:
    size = 2 * 1024**3
    with (templates / "a.ova").open("wb") as file:
        file.write(header(b"a.ovf", size))
        file.truncate(512 + size + 1024)
    async with refused(templates) as caught:
        assert "its file 'a.ovf' has 2147483648 bytes; 1048576 are legal" in caught.value.message
