"""Disk images and ISO images over HTTPS, server, bus and agent: what hostile and clumsy callers send."""

import contextlib
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pytest

from tests import small_disk
from tests.agent.templates.packages import small_template
from tests.agent.transfer.web_server import serving
from tests.hosts import uploads, wire
from tests.hosts.kvm_machines import disk_xml, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import NAME, Caller, CallFailed, Stack
from tests.waiting import until

pytestmark = pytest.mark.hosts


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


# --- uploads ---

CONTENT = os.urandom(3 * 1024 * 1024 + 17)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def begun(caller: Caller, name: str, content: bytes = CONTENT, sha256: str = SHA256) -> tuple[str, str]:
    """Job and address of an upload."""
    answer = caller.iso("upload_image", name, len(content), sha256)
    return answer["job"], answer["address"]


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test that failed has left is not the next one's."""
    yield
    if "oms" in request.fixturenames:
        oms: Stack = request.getfixturevalue("oms")
        with contextlib.closing(oms.caller()) as caller:
            for task in caller.task("list_tasks", "unfinished"):
                caller.task("cancel_task", task["id"])
                caller.task("wait_task", task["id"], 60)
        for path in (*oms.iso.glob("*.iso"), *oms.images.glob("*.img")):
            path.unlink()


def ready(oms: Stack, caller: Caller, address: str, at_least: int = 0) -> int:
    """From where on the host wants bytes, once it does."""
    end = time.monotonic() + 40
    while (at := uploads.offset(oms, caller, address)) < at_least:
        assert time.monotonic() < end, at
    return at


def test_an_image_is_uploaded_whole(oms: Stack, caller: Caller) -> None:
    job, address = begun(caller, "whole.iso")
    assert caller.iso("list_images") == []
    assert begun(caller, "whole.iso") == (job, address)  # the same again is the same upload
    brought = uploads.bring(oms, caller, address, CONTENT)
    assert (brought.status, brought.body) == (200, {"job": job, "state": "done", "offset": -1})
    task = caller.task("get_task", job)
    assert (task["state"], task["progress"], task["notes"]) == ("done", 100, {"sha256": SHA256})
    assert caller.iso("list_images") == ["whole.iso"]
    (described,) = caller.iso("describe_images")
    assert described == {"name": "whole.iso", "size_kb": len(CONTENT) // 1024, "machines": []}
    assert (oms.iso / "whole.iso").read_bytes() == CONTENT
    assert (oms.iso / "whole.iso").stat().st_mode & 0o777 == 0o600
    assert caller.iso("delete_image", "whole.iso") == 0
    assert left_in(oms.iso) == set()


def test_a_plain_put_of_a_whole_file_will_do(oms: Stack, caller: Caller, tmp_path: Path) -> None:
    """As `curl -T` sends it."""
    _, address = begun(caller, "curl.iso", sha256="")
    headers = {"Authorization": f"Bearer {caller.sessid}", "Content-Length": str(len(CONTENT))}
    assert uploads.request(oms, "PUT", address, headers, [CONTENT]).body["state"] == "done"
    assert caller.iso("delete_image", "curl.iso") == 0


def test_an_upload_goes_on_after_a_broken_connection_and_in_parts(oms: Stack, caller: Caller) -> None:
    job, address = begun(caller, "parts.iso")
    ready(oms, caller, address)
    uploads.bring(oms, caller, address, CONTENT, cut=1_000_000)
    at = ready(oms, caller, address, 1)
    assert at <= 1_000_000
    wrong = uploads.bring(oms, caller, address, CONTENT, at - 1)
    assert (wrong.status, wrong.body["offset"]) == (409, at)
    part = uploads.bring(oms, caller, address, CONTENT, at, last=2_000_000)
    assert (part.status, part.body["offset"]) == (200, 2_000_001)
    assert 0 < caller.task("get_task", job)["progress"] < 96
    assert uploads.bring(oms, caller, address, CONTENT, 2_000_001).body["state"] == "done"
    assert (oms.iso / "parts.iso").read_bytes() == CONTENT
    assert caller.iso("delete_image", "parts.iso") == 0


@pytest.mark.parametrize("who", ["agent", "server", "nats"])
def test_an_upload_goes_on_after_a_part_was_killed(oms: Stack, caller: Caller, who: str) -> None:
    _, address = begun(caller, f"{who}.iso")
    ready(oms, caller, address)
    uploads.bring(oms, caller, address, CONTENT, cut=1_500_000)
    before = ready(oms, caller, address, 1)
    oms.kill(who)
    if who != "nats":
        oms.start(who)
    caller.close()
    oms.wait_for_server()
    oms.wait_for_host(caller)
    at = ready(oms, caller, address, 1)
    assert at >= before  # what was acknowledged is kept
    brought = uploads.bring(oms, caller, address, CONTENT, at)
    assert (brought.status, brought.body["state"]) == (200, "done")
    assert (oms.iso / f"{who}.iso").read_bytes() == CONTENT
    assert caller.iso("delete_image", f"{who}.iso") == 0
    assert left_in(oms.iso) == set()


def test_a_killed_agent_in_the_midst_of_a_stream_loses_nothing_that_it_has_noted(
    oms: Stack, caller: Caller
) -> None:
    _, address = begun(caller, "stream.iso")
    with ThreadPoolExecutor(1) as threads:
        slow = [CONTENT[place : place + 1000] for place in range(0, len(CONTENT), 1000)]
        headers = {"Authorization": f"Bearer {caller.sessid}", "Content-Length": str(len(CONTENT))}
        bringing = threads.submit(uploads.request, oms, "PUT", address, headers, slow)
        until(lambda: any((oms.iso / ".staging").glob("*/*")))
        oms.kill("agent")
        oms.start("agent")
        assert bringing.result(60).status in (0, 200, 503)
    oms.wait_for_host(caller)
    if caller.iso("list_images") == []:
        at = ready(oms, caller, address)
        assert uploads.bring(oms, caller, address, CONTENT, at).body["state"] == "done"
    assert (oms.iso / "stream.iso").read_bytes() == CONTENT
    assert caller.iso("delete_image", "stream.iso") == 0


def test_a_cancelled_upload_leaves_nothing(oms: Stack, caller: Caller) -> None:
    job, address = begun(caller, "cancelled.iso")
    ready(oms, caller, address)
    uploads.bring(oms, caller, address, CONTENT, cut=500_000)
    ready(oms, caller, address, 1)
    caller.task("cancel_task", job)
    assert caller.task("wait_task", job, 20)["state"] == "cancelled"
    assert left_in(oms.iso) == set()
    late = uploads.bring(oms, caller, address, CONTENT)
    assert (late.status, late.body["error"]["name"]) == (409, "FuncManError")


def test_a_wrong_checksum_fails_with_both_and_leaves_nothing(oms: Stack, caller: Caller) -> None:
    job, address = begun(caller, "wrong.iso", sha256="0" * 64)
    brought = uploads.bring(oms, caller, address, CONTENT)
    assert brought.status == 409
    assert SHA256 in brought.body["error"]["message"]
    assert caller.task("get_task", job)["error"]["name"] == "FuncManError"
    assert left_in(oms.iso) == set()


def test_a_disk_image_is_brought_and_checked(oms: Stack, caller: Caller, tmp_path: Path) -> None:
    for name, backing in (("good.img", []), ("bad.img", ["-b", "/etc/hostname", "-F", "raw"])):
        command = ["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(tmp_path / name), "1M"]
        subprocess.run(command, check=True)
        content = (tmp_path / name).read_bytes()
        answer = caller.kvm("upload_file_based_image", name, "qcow2", len(content))
        brought = uploads.bring(oms, caller, answer["address"], content)
        if backing:
            assert "stands upon another file" in brought.body["error"]["message"]
        else:
            assert brought.body["state"] == "done"
    assert caller.kvm("list_file_based_images") == ["good.img"]
    assert caller.kvm("delete_file_based_image", "good.img") == [0, "", ""]


def test_an_image_in_a_drive_is_not_deleted_and_its_machine_is_named(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    (oms.iso / "cd.iso").write_bytes(b"cd")
    domain = virt.defineXML(small_xml("openfiler", devices=disk_xml(oms.iso / "cd.iso", "hda", "cdrom")))
    (described,) = caller.iso("describe_images")
    assert described["machines"] == ["openfiler"]
    with pytest.raises(CallFailed, match=r"'cd\.iso' is in a drive of machine 'openfiler'") as refused:
        caller.iso("delete_image", "cd.iso")
    assert refused.value.error["data"]["reason"] == "in_use"
    domain.undefine()
    assert caller.iso("delete_image", "cd.iso") == 0


# --- from host to host, and from the web ---


@pytest.fixture(scope="module")
def second(oms: Stack) -> Path:
    """The ISO images of a second host, node2."""
    return oms.join("node2") / "iso"


def test_an_image_is_copied_to_another_host(oms: Stack, caller: Caller, second: Path) -> None:
    (oms.iso / "a.iso").write_bytes(CONTENT)
    got = caller.iso("copy_image", "a.iso", NAME, host="node2")
    assert got == {"size_bytes": len(CONTENT), "sha256": SHA256}
    assert (second / "a.iso").read_bytes() == CONTENT
    assert (second / "a.iso").stat().st_mode & 0o777 == 0o600
    assert caller.iso("list_images", host="node2") == ["a.iso"]
    with pytest.raises(CallFailed) as taken:
        caller.iso("copy_image", "a.iso", NAME, host="node2")
    assert taken.value.error["data"]["reason"] == "already_there"
    with pytest.raises(CallFailed, match=r"There is no ISO image 'none\.iso'") as none:
        caller.iso("copy_image", "none.iso", NAME, host="node2")
    assert none.value.error["data"]["reason"] == "not_there"
    (oms.iso / "link.iso").symlink_to("/etc/shadow")
    with pytest.raises(CallFailed, match=r"There is no ISO image 'link\.iso'"):
        caller.iso("copy_image", "link.iso", NAME, host="node2")
    (oms.iso / "link.iso").unlink()
    caller.iso("delete_image", "a.iso")
    caller.iso("delete_image", "a.iso", host="node2")
    assert left_in(second) == set()


def test_a_template_is_copied_and_one_that_is_a_directory_is_not(oms: Stack, caller: Caller, second: Path) -> None:
    there = small_template(oms.templates, "packed")
    got = caller.kvm("copy_template", "packed", NAME, host="node2")
    assert got == {"size_bytes": there.stat().st_size, "sha256": hashlib.sha256(there.read_bytes()).hexdigest()}
    assert caller.kvm("list_templates", host="node2") == ["packed"]
    assert left_in(second.parent / "templates") == {"packed.ova"}
    (oms.templates / "spread").mkdir()
    (oms.templates / "spread/a.ovf").touch()
    with pytest.raises(CallFailed, match=r"There is no template in one archive 'spread\.ova'") as refused:
        caller.kvm("copy_template", "spread", NAME, host="node2")
    assert refused.value.error["data"]["reason"] == "not_there"
    (oms.templates / "broken.ova").write_bytes(there.read_bytes()[:20_000])
    with pytest.raises(CallFailed, match=r"Template 'broken' is refused") as broken:
        caller.kvm("copy_template", "broken", NAME, host="node2")
    assert broken.value.error["data"]["reason"] == "unusable"
    assert left_in(second.parent / "templates") == {"packed.ova"}


def test_a_copy_goes_on_after_either_agent_was_killed(oms: Stack, caller: Caller, second: Path) -> None:
    large = CONTENT * 40
    (oms.iso / "large.iso").write_bytes(large)
    for who in ("agent", "node2"):
        with ThreadPoolExecutor(1) as threads, contextlib.closing(oms.caller()) as other:
            copying = threads.submit(other.iso, "copy_image", "large.iso", NAME, host="node2")
            until(lambda: any(path.stat().st_size > 1_000_000 for path in (second / ".staging").glob("*/*")))
            oms.kill(who)
            oms.start(who)
            assert copying.result(90)["sha256"] == hashlib.sha256(large).hexdigest()
        assert (second / "large.iso").read_bytes() == large
        oms.wait_for_host(caller)
        until(lambda: caller_can(caller, "node2"))
        caller.iso("delete_image", "large.iso", host="node2")
    (oms.iso / "large.iso").unlink()
    assert left_in(second) == set()


def caller_can(caller: Caller, host: str) -> bool:
    with contextlib.suppress(CallFailed):
        caller.iso("list_images", host=host)
        return True
    return False


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/ca.pem", "https://localhost:{port}/ca.pem",
     "http://169.254.169.254/latest/meta-data/", "https://[::1]:{port}/"],
)  # fmt: skip
def test_what_only_the_host_reaches_is_not_fetched(oms: Stack, caller: Caller, url: str) -> None:
    with pytest.raises(CallFailed, match="no address in the public internet") as refused:
        caller.iso("fetch_image", "x.iso", url.format(port=oms.port), "0" * 64)
    assert refused.value.error["data"]["reason"] == "not_fetched"
    assert left_in(oms.iso) == set()


@pytest.fixture(scope="module")
def small(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Path]]:
    """A host with little room for disk images, which may fetch from inside."""
    if reason := small_disk.why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("oms")
    with (
        small_disk.mounted(folder, 64) as disk,
        Stack(folder, libvirtd.uri, images=str(disk), fetch_private="true") as oms,
    ):
        yield oms, disk


def test_an_image_is_fetched_where_the_setting_allows_it(small: tuple[Stack, Path]) -> None:
    oms, _ = small
    with contextlib.closing(oms.caller()) as caller, serving(CONTENT) as web:
        url = web.url.replace("mirror.example", "127.0.0.1")
        web.cut_after = [1_000_000]
        assert caller.iso("fetch_image", "a.iso", url, SHA256) == {"size_bytes": len(CONTENT), "sha256": SHA256}
        assert (oms.iso / "a.iso").read_bytes() == CONTENT
        assert caller.kvm("fetch_file_based_image", "f.img", "raw", url, SHA256)["sha256"] == SHA256
        assert caller.kvm("describe_file_based_images")[0]["format"] == "raw"
        caller.kvm("delete_file_based_image", "f.img")


def test_a_template_is_fetched_and_what_is_none_is_not_kept(small: tuple[Stack, Path], tmp_path: Path) -> None:
    oms, _ = small
    content = small_template(tmp_path, "t").read_bytes()
    with contextlib.closing(oms.caller()) as caller, serving(content) as web, serving(CONTENT) as other:
        url, wrong = (one.url.replace("mirror.example", "127.0.0.1") for one in (web, other))
        sha256 = hashlib.sha256(content).hexdigest()
        assert caller.kvm("fetch_template", "t", url, sha256) == {"size_bytes": len(content), "sha256": sha256}
        with pytest.raises(CallFailed, match="Template 'u' is refused"):
            caller.kvm("fetch_template", "u", wrong, SHA256)
        assert caller.kvm("list_templates") == ["t"]
        assert left_in(oms.templates) == {"t.ova"}


def test_a_disk_that_fills_up_in_the_midst_is_named_and_all_is_as_it_was(small: tuple[Stack, Path]) -> None:
    oms, disk = small
    (disk / "before.img").write_bytes(b"before")
    content = CONTENT * 10
    with contextlib.closing(oms.caller()) as caller:
        answer = caller.kvm("upload_file_based_image", "a.img", "raw", len(content))
        ready(oms, caller, answer["address"])
        uploads.bring(oms, caller, answer["address"], content, cut=5_000_000)
        at = ready(oms, caller, answer["address"], 1)
        small_disk.fill(disk)
        assert uploads.bring(oms, caller, answer["address"], content, at).status in (0, 409, 503)
        task = caller.task("wait_task", answer["job"], 30)
        assert task["state"] == "failed"
        assert "room" in task["error"]["message"] or "left to give" in task["error"]["message"]
        (disk / "filler").unlink()
        assert caller.kvm("list_file_based_images") == ["before.img"]
        assert left_in(disk) == {"before.img"}
        answer = caller.kvm("upload_file_based_image", "a.img", "raw", len(content))
        assert uploads.bring(oms, caller, answer["address"], content).body["state"] == "done"


def test_what_no_job_goes_on_with_is_swept_when_the_agent_begins(oms: Stack, caller: Caller) -> None:
    for directory in (oms.images, oms.iso, oms.templates):
        (directory / ".staging/left").mkdir(parents=True)
        (directory / ".staging/left/half").write_text("half")
    oms.kill("agent")
    oms.start("agent")
    oms.wait_for_host(caller)
    for directory in (oms.images, oms.iso, oms.templates):
        assert list((directory / ".staging").iterdir()) == []
