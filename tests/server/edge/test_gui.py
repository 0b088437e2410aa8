"""The GUI's files as a browser gets them."""

from pathlib import Path

import pytest

from oms.server.edge.assets import Assets
from oms.server.edge.gui import POLICY, GuiDoor
from oms.server.edge.http import Answered, Scope


@pytest.fixture
def door(tmp_path: Path) -> GuiDoor:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "assets" / "a-1.js").write_text("run()")
    (tmp_path / "assets" / "a-1.js.br").write_bytes(b"packed")
    (tmp_path / "assets" / "f-1.woff2").write_bytes(b"font")
    return GuiDoor(Assets(tmp_path))


async def get(door: GuiDoor, path: str, takes: bytes = b"gzip, br", verb: str = "GET") -> Answered:
    scope: Scope = {"method": verb, "path": path, "headers": [(b"accept-encoding", takes)]}

    async def comes() -> dict[str, object]:
        return {}

    async def goes(_message: object) -> None:
        return

    return await door(scope, comes, goes, foreign=True)


async def test_every_address_that_is_no_file_gets_the_page(door: GuiDoor) -> None:
    for path in ("/ui/", "/ui/hosts/node1", "/ui/index.html", "/ui/../etc/passwd", "/ui//x"):
        status, headers, body = await get(door, path)
        said = dict(headers)
        assert (status, body) == (200, b"<!doctype html>"), path
        assert said[b"content-security-policy"] == POLICY
        assert b"unsafe" not in POLICY
        assert b"frame-ancestors 'none'" in POLICY
        assert said[b"cache-control"] == b"no-cache"
        assert said[b"x-content-type-options"] == b"nosniff"


async def test_what_is_named_after_its_content_is_kept_for_good_and_packed_for_who_unpacks_it(
    door: GuiDoor,
) -> None:
    status, headers, body = await get(door, "/ui/assets/a-1.js")
    said = dict(headers)
    assert (status, body, said[b"content-encoding"]) == (200, b"packed", b"br")
    assert b"immutable" in said[b"cache-control"]
    assert said[b"vary"] == b"accept-encoding"
    for takes in (b"gzip", b"br;q=0, gzip", b""):
        status, headers, body = await get(door, "/ui/assets/a-1.js", takes)
        assert body == b"run()"
        assert b"content-encoding" not in dict(headers)
    status, headers, _ = await get(door, "/ui/assets/f-1.woff2")
    assert dict(headers)[b"content-type"] == b"font/woff2"


async def test_a_file_of_an_older_build_is_not_answered_with_the_page(door: GuiDoor) -> None:
    assert (await get(door, "/ui/assets/a-0.js"))[0] == 404
    assert (await get(door, "/ui/assets/a-1.js.br"))[0] == 404


async def test_nothing_else_is_there(door: GuiDoor, tmp_path: Path) -> None:
    assert (await get(door, "/uix"))[0] == 404
    assert (await get(door, "/ui/", verb="POST"))[0] == 405
    status, headers, _ = await get(door, "/ui")
    assert (status, dict(headers)[b"location"]) == (303, b"/ui/")
    assert (await get(GuiDoor(Assets(tmp_path / "none")), "/ui/"))[0] == 503
