"""Disk images and ISO images over HTTPS, server, bus and agent: what hostile and clumsy callers send."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import wire
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import NAME, Caller, CallFailed, Stack

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def oms(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("oms"), libvirtd.uri) as stack:
        yield stack


@pytest.fixture
def caller(oms: Stack) -> Iterator[Caller]:
    with contextlib.closing(oms.caller()) as made:
        yield made


def left_in(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "size",
    ["-1", "0", "1e308", "NaN", "Infinity", str(2**63), "10.5", "10.0", "true", '"10"', '"\\uff11\\uff10"', "null",
     "[]", "{}", "16777217", "9" * 5000],
)  # fmt: skip
def test_a_size_that_is_none_is_refused_before_a_file_is_there(oms: Stack, caller: Caller, size: str) -> None:
    shown = f'["{caller.sessid}",0,"{NAME}","a.img",{size}]'
    text = wire.bare_text(oms.port, "kvm", "create_file_based_image", shown)
    assert text.status == 400 or json.loads(text.body)["error"]["name"] == "ParameterMismatch", text
    assert left_in(oms.images) == set()


NAMES: list[Any] = [
    "../../../etc/passwd", "/etc/passwd", "a/../../b", ".", "..", "", "a\0b", "..%2f", ".hidden", ".staging",
    'json:{"driver":"file","filename":"/etc/hostname"}', "nbd://127.0.0.1:1/x", "fat:/etc", "-rf", "a b", "a\n",
    "a/b", "n" * 201, None, 1, ["a"], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_what_is_no_name_is_refused_before_anything_is_looked_at(oms: Stack, caller: Caller, name: Any) -> None:
    before = Path("/etc/passwd").read_bytes()
    for method, rest in (("create_file_based_image", [10]), ("delete_file_based_image", []),
                         ("adopt_file_based_image", ["raw"])):  # fmt: skip
        with pytest.raises(CallFailed) as refused:
            caller.kvm(method, name, *rest)
        assert (refused.value.name, refused.value.error["data"]["parameter"]) == (
            "ParameterMismatch", "diskimage_name",
        )  # fmt: skip
    assert Path("/etc/passwd").read_bytes() == before
    assert left_in(oms.images) == set()


def test_two_that_ask_for_the_same_at_once_have_one_effect(oms: Stack, caller: Caller) -> None:
    """As when a browser repeats an address whose answer it has lost."""
    with contextlib.closing(oms.caller()) as other:
        answers = wire.at_once(
            lambda: caller.kvm("create_file_based_image", "twice.img", 10),
            lambda: other.kvm("create_file_based_image", "twice.img", 10),
        )
    ended = [str(answer) if isinstance(answer, CallFailed) else answer for answer in answers]
    assert 0 in ended
    assert all(end == 0 or "already" in str(end) for end in ended)
    assert caller.kvm("list_file_based_images") == ["twice.img"]
    assert caller.kvm("delete_file_based_image", "twice.img") == [0, "", ""]
