"""Files from real web servers, good ones and bad ones, and none from where nobody may be sent."""

import hashlib
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from oms.agent.transfer import incoming
from oms.agent.transfer.incoming import Wanted, receive
from oms.agent.transfer.web import Fetching, LookUp, WebPart
from oms.contract.errors import NotFetched, Unusable
from oms.contract.incoming import Received
from tests.agent.transfer.web_server import Web, self_signed, serving
from tests.hosts.kvm_job import RehearsedJob

CONTENT = os.urandom(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
INSIDE = Fetching(private=True)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "FIRST_PAUSE_SECONDS", 0.0)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(CONTENT) as server:
        yield server


async def fetch(web: Web, path: Path, url: str = "", rules: Fetching = INSIDE, **more: Any) -> Received:
    wanted = Wanted(**{"what": "ISO image 'a.iso'", "seconds": 5, "at_first": 0.3, **more})
    part_at = partial(WebPart, url or web.url, rules, look_up=leads_to("127.0.0.1"))
    return await receive(RehearsedJob(), path, wanted, part_at)


async def test_a_file_comes_in_one_go(web: Web, tmp_path: Path) -> None:
    got = await fetch(web, tmp_path / "a")
    assert (got.size_bytes, got.sha256) == (len(CONTENT), SHA256)
    ((path, headers),) = web.asked
    assert path == "/a.iso"
    assert headers["host"].startswith("mirror.example:")
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("OMS/")
    assert "authorization" not in headers


async def test_after_a_break_only_the_rest_is_asked_for(web: Web, tmp_path: Path) -> None:
    web.cut_after = [30_000, 20_000]
    assert (await fetch(web, tmp_path / "a")).sha256 == SHA256
    ranges = [(headers.get("range"), headers.get("if-range")) for _, headers in web.asked]
    assert ranges == [(None, None), ("bytes=30000-", '"v1"'), ("bytes=50000-", '"v1"')]


@pytest.mark.parametrize("why", ["no ranges", "another file", "no mark"])
async def test_where_the_rest_cannot_be_had_it_begins_anew(web: Web, tmp_path: Path, why: str) -> None:
    web.cut_after = [30_000]
    web.ranges = why != "no ranges"
    if why == "no mark":
        web.etag = ""
    part_at = partial(WebPart, web.url, INSIDE, look_up=leads_to("127.0.0.1"))

    def changing(offset: int, mark: str) -> WebPart:
        if offset and why == "another file":
            web.etag = '"v2"'
        return part_at(offset, mark)

    await receive(RehearsedJob(), tmp_path / "a", Wanted("x", 5, 5), changing)
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("way", ["chunked", "until the end"])
async def test_a_file_of_unknown_length_comes_with_a_checksum_only(web: Web, tmp_path: Path, way: str) -> None:
    web.chunked, web.says_length = way == "chunked", False
    with pytest.raises(NotFetched, match="Nobody says how long"):
        await fetch(web, tmp_path / "a")
    assert (await fetch(web, tmp_path / "a", sha256=SHA256)).size_bytes == len(CONTENT)


async def test_a_chunked_answer_that_is_cut_off_is_gone_on_with(web: Web, tmp_path: Path) -> None:
    web.chunked, web.cut_after = True, [35_000]
    assert (await fetch(web, tmp_path / "a", sha256=SHA256)).sha256 == SHA256
    assert len(web.asked) == 2


async def test_a_wrong_checksum_is_refused(web: Web, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="checksum"):
        await fetch(web, tmp_path / "a", sha256="0" * 64)


async def test_what_the_server_says_is_told(web: Web, tmp_path: Path) -> None:
    web.status = [404]
    with pytest.raises(NotFetched, match="answers 404 Not Found"):
        await fetch(web, tmp_path / "a")
    assert len(web.asked) == 1
    web.status = [503, 429]
    assert (await fetch(web, tmp_path / "a")).sha256 == SHA256
    web.status = [503] * 1000
    with pytest.raises(NotFetched, match="answers 503 Service Unavailable"):
        await fetch(web, tmp_path / "a")


async def test_a_content_that_is_packed_is_refused(web: Web, tmp_path: Path) -> None:
    web.encoding = "gzip"
    with pytest.raises(NotFetched, match="is not given"):
        await fetch(web, tmp_path / "a")


async def test_what_is_too_large_is_refused_before_it_comes(web: Web, tmp_path: Path) -> None:
    with pytest.raises(NotFetched, match=r"has more than 97\.7 KiB"):
        await fetch(web, tmp_path / "a", largest_bytes=99_999)
    assert (tmp_path / "a").stat().st_size == 0


async def test_a_server_that_sends_on_is_followed_and_not_for_ever(web: Web, tmp_path: Path) -> None:
    web.location = "/there"
    assert (await fetch(web, tmp_path / "a")).sha256 == SHA256
    assert [path for path, _ in web.asked] == ["/a.iso", "/there"]
    web.location = "/on-and-on"
    with pytest.raises(NotFetched, match="sends on more than 5 times"):
        await fetch(web, tmp_path / "a")
    for location in ("file:///etc/shadow", "ftp://mirror.example/", "http://u:p@mirror.example/", "http://"):
        web.location = location
        with pytest.raises(NotFetched):
            await fetch(web, tmp_path / "a")


# --- where nobody may be sent ---


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/a.iso", "http://[::ffff:127.0.0.1]:{port}/", "http://0:{port}/",
                                 "http://localhost:{port}/a.iso", "http://127.1:{port}/", "http://2130706433:{port}/",
                                 "http://0x7f.1:{port}/", "http://017700000001:{port}/"])  # fmt: skip
async def test_this_host_itself_is_not_asked_whatever_its_name(web: Web, tmp_path: Path, url: str) -> None:
    port = int(web.url.rpartition(":")[2].partition("/")[0])
    part = WebPart(url.format(port=port), Fetching(), 0, "")
    with pytest.raises(NotFetched, match="no address in the public internet"):
        part.open()
    assert web.asked == []


def leads_to(address: str) -> LookUp:
    """Every name is there."""
    return lambda _name, _port: [address]


async def test_a_name_that_leads_inside_is_not_followed_and_nothing_is_connected_to(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: Any, **__: Any) -> socket.socket:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "create_connection", connect)
    for inside in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"):
        part = WebPart(web.url, Fetching(), 0, "", leads_to(inside))
        with pytest.raises(NotFetched, match="no address in the public internet"):
            part.open()


async def test_a_name_that_changes_its_address_after_it_was_looked_at_leads_nowhere_else(
    web: Web, tmp_path: Path
) -> None:
    """The connection goes to what was looked at: the name is asked for once."""
    answers = [["127.0.0.1"], ["203.0.113.9"]]
    asked = []

    def rebinding(name: str, _port: int) -> list[str]:
        asked.append(name)
        return answers[len(asked) - 1]

    part = WebPart(web.url, INSIDE, 0, "", rebinding)
    assert part.open().size == len(CONTENT)
    part.hang_up()
    assert asked == ["mirror.example"]


async def test_a_server_that_sends_on_to_the_inside_is_not_followed_there(web: Web, tmp_path: Path) -> None:
    """The first hop may be asked, the second is this host."""
    web.location = "http://inside.example/latest/meta-data"

    def look_up(name: str, _port: int) -> list[str]:
        return ["127.0.0.1"] if name == "mirror.example" else ["169.254.169.254"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oms.agent.transfer.addresses.is_public", lambda address: str(address) == "127.0.0.1")
        with pytest.raises(NotFetched, match=r"inside\.example has no address .*169\.254\.169\.254"):
            WebPart(web.url, Fetching(), 0, "", look_up).open()
    assert len(web.asked) == 1


async def test_no_proxy_and_no_netrc_of_the_environment_is_used(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert (await fetch(web, tmp_path / "a")).sha256 == SHA256


# --- https ---


async def test_https_needs_a_certificate_that_is_trusted_and_for_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path / "cert.pem", "mirror.example")
    with serving(CONTENT, certificate) as web:
        with pytest.raises(NotFetched, match="does not prove that it is the one"):
            await fetch(web, tmp_path / "a")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert (await fetch(web, tmp_path / "a")).sha256 == SHA256
        with pytest.raises(NotFetched, match="does not prove that it is the one"):
            await fetch(web, tmp_path / "a", url=web.url.replace("mirror.example", "other.example"))
        web.location = "http://mirror.example/plain"
        with pytest.raises(NotFetched, match="from https to http"):
            await fetch(web, tmp_path / "a")


async def test_a_server_that_is_not_there_is_told(tmp_path: Path, web: Web) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://mirror.example:{taken.getsockname()[1]}/"
        with pytest.raises(NotFetched, match=r"mirror\.example cannot be reached: .*refused"):
            await fetch(web, tmp_path / "a", url=url)
