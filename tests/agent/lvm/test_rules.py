"""LVM's words in the document's shape, and what of its volumes is OMS's to touch."""

import pytest

from oms.agent.host.lvm import Group, Volume
from oms.agent.lvm import rules
from oms.contract.errors import AlreadyThere, FuncManError, InUse, NoSpace, NotThere
from tests.contract.document import ALL

VGDISPLAY = """
  --- Volume group ---
  VG Name               VolGroup00
  System ID             
  Format                lvm2
  VG Access             read/write
  VG Size               135.09 GiB
  Alloc PE / Size       3776 / 118.00 GiB
  VG UUID               Sb1lok-R2y8-cOvr-mDqL-vn0z-AZzs-zFdyNw
   
  --- Volume group ---
  VG Name               data
  VG UUID               AAAAAA-R2y8-cOvr-mDqL-vn0z-AZzs-zFdyNw
"""  # noqa: W291, W293 - as vgdisplay writes it
MIB = 1024 * 1024
GROUPS = [Group("vg0", free_bytes=100 * MIB, extent_bytes=4 * MIB), Group("vg1", 0, 4 * MIB)]


def volume(name: str, *tags: str, group: str = "vg0", is_open: bool = False) -> Volume:
    return Volume(f"uuid of {name}", group, name, 8 * MIB, f"/dev/{group}/{name}", frozenset(tags), is_open)


def test_a_group_is_a_list_of_lines_and_a_line_a_list_of_words() -> None:
    first, second = rules.display(VGDISPLAY)
    assert first[:3] == [["VG", "Name", "VolGroup00"], ["System", "ID"], ["Format", "lvm2"]]
    assert ["Alloc", "PE", "/", "Size", "3776", "/", "118.00", "GiB"] in first
    assert second == [["VG", "Name", "data"], ["VG", "UUID", "AAAAAA-R2y8-cOvr-mDqL-vn0z-AZzs-zFdyNw"]]
    (documented,) = [method for method in ALL if str(method) == "lvmservices.list_vg"]
    assert documented.answer is not None
    theirs = documented.answer["result"]["result"]["result"][0]
    assert [line for line in first if line[:2] != ["VG", "Size"]][:3] == theirs[:3]


@pytest.mark.parametrize("text", ["", "\n\n", "  WARNING: something\n"])
def test_no_volumes_are_an_empty_list(text: str) -> None:
    assert rules.display(text) == []


@pytest.mark.parametrize(("wanted_mb", "got_mb"), [(1, 4), (4, 4), (5, 8), (100, 100)])
def test_a_size_is_rounded_up_to_whole_extents(wanted_mb: int, got_mb: int) -> None:
    assert rules.size_bytes(GROUPS[0], wanted_mb) == got_mb * MIB
    assert rules.group_for(GROUPS, [], "vg0", "disk", wanted_mb) == GROUPS[0]


def test_what_does_not_fit_is_refused_with_what_is_free() -> None:
    with pytest.raises(NoSpace, match="vg0 has 100 MB free; 104 MB were asked for"):
        rules.group_for(GROUPS, [], "vg0", "disk", 101)


def test_an_unknown_group_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotThere, match=r"no volume group 'vg9' here; there are vg0, vg1\."):
        rules.group_for(GROUPS, [], "vg9", "disk", 1)
    with pytest.raises(NotThere, match="there are no groups"):
        rules.group_for([], [], "vg9", "disk", 1)


def test_a_taken_name_is_refused_and_the_same_in_another_group_is_not() -> None:
    with pytest.raises(AlreadyThere, match="vg0/disk"):
        rules.group_for(GROUPS, [volume("disk")], "vg0", "disk", 1)
    assert rules.group_for(GROUPS, [volume("disk", group="vg1")], "vg0", "disk", 1) == GROUPS[0]


@pytest.mark.parametrize("name", ["snapshot1", "pvmove0", "a_tdata", "x_rimage_0"])
def test_names_that_lvm_keeps_for_itself_are_refused(name: str) -> None:
    with pytest.raises(FuncManError, match="keeps names like"):
        rules.group_for(GROUPS, [], "vg0", name, 1)


def test_only_what_bears_our_tag_is_touched() -> None:
    with pytest.raises(FuncManError, match="lvchange --addtag oms vg0/root"):
        rules.check_free(volume("root", "osm"), [])
    rules.check_free(volume("disk", "oms"), [])


def test_who_has_a_volume_is_named() -> None:
    with pytest.raises(InUse, match="machine 'a', 'b'"):
        rules.check_free(volume("disk", "oms"), {"b", "a"})
    with pytest.raises(InUse, match="open on the host"):
        rules.check_free(volume("disk", "oms", is_open=True), [])


def test_a_volume_that_is_not_there_is_refused_with_its_neighbours() -> None:
    with pytest.raises(NotThere, match=r"vg0/b here; there are a\."):
        rules.find([volume("a"), volume("b", group="vg1")], "vg0", "b")
