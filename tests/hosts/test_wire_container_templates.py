"""Container templates over the whole wire: HTTPS, server, bus, agent, and real containers through LXC."""

import contextlib
import gzip
import io
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oms.contract.ovz import arrivals, templates
from oms.contract.registry import OPERATIONS
from tests.agent.templates.packages import member
from tests.agent.transfer.web_server import serving
from tests.contract.document import METHODS
from tests.hosts import rootfs, uploads, wire
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.lxc_path import attached, lxc_path
from tests.hosts.stack import NAME, Caller, CallFailed, Stack
from tests.waiting import until

pytestmark = pytest.mark.hosts
MIB = 1024 * 1024
OURS = {k.facts.wire for k in OPERATIONS if k.__module__ in {templates.__name__, arrivals.__name__}}
DOCUMENTED = {method.method: method for method in METHODS if method.service == "ovzservices"}


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with lxc_path() as made:
        yield made


@pytest.fixture(scope="module")
def oms(path: Path, libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"containers": "lxc", "lxc_path": str(path), "container_stop_seconds": "1"}
    with Stack(tmp_path_factory.mktemp("oms"), libvirtd.uri, **settings) as stack:
        yield stack


@pytest.fixture
def caller(oms: Stack) -> Iterator[Caller]:
    with contextlib.closing(oms.caller()) as it:
        yield it
        oms.wait_for_host(it)
        for container in ovz(it, "list_vms"):
            ovz(it, "delete_vm", container["id"])
        for name in ovz(it, "list_templates"):
            ovz(it, "delete_template", name)


def ovz(caller: Caller, method: str, *params: Any, host: str = NAME) -> Any:
    return caller.call("ovzservices", method, caller.sessid, 0, host, *params)


def shelf(oms: Stack) -> Path:
    return oms.directory / "storage" / "rootfs"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive of a system that runs."""
    place = tmp_path_factory.mktemp("tiny")
    rootfs.tiny(place)
    packed = subprocess.run(
        ["tar", "-C", place, "--numeric-owner", "-cJf", "-", "."], check=True, capture_output=True
    )
    return packed.stdout


def large(oms: Stack) -> None:
    """A template that takes a second or more to be written."""
    with tarfile.open(shelf(oms) / "large.tar.gz", "w:gz", compresslevel=1) as made:
        for number in range(1000):
            about = tarfile.TarInfo(f"etc/file{number}")
            about.size = 3000
            made.addfile(about, io.BytesIO(number.to_bytes(4) * 750))
        about = tarfile.TarInfo("data")
        about.size = 120 * MIB
        with Path("/dev/zero").open("rb") as zeros:
            made.addfile(about, zeros)


def left(oms: Stack, path: Path) -> list[str]:
    """What lies about of jobs that are over."""
    places = (shelf(oms) / ".staging", path / ".staging")
    return [str(found) for place in places if place.is_dir() for found in place.iterdir()]


def running(caller: Caller, method: str, percent: int = 0) -> dict[str, Any] | None:
    """The newest job of that method, if it runs and is so far."""
    for job in caller.task("list_tasks"):
        if job["method"] == f"ovzservices.{method}" and job["state"] == "running" and job["progress"] >= percent:
            return dict(job)
    return None


def test_every_method_by_the_document_and_by_name(oms: Stack, path: Path, caller: Caller, tiny: bytes) -> None:
    for number, ask in enumerate((wire.bare, wire.by_name)):
        tour = wire.Tour(oms.port, ask)
        tour.sessid = caller.sessid
        _tour(tour, oms, caller, tiny, 300 + number)
        assert tour.asked >= OURS
    assert left(oms, path) == []


def _tour(tour: wire.Tour, oms: Stack, caller: Caller, tiny: bytes, ctid: int) -> None:
    def call(method: str, *params: Any) -> Any:
        return tour.call(f"ovzservices.{method}", *params)

    begun = call("upload_template", "templatename", len(tiny))
    assert uploads.bring(oms, caller, begun["address"], tiny).status in (200, 204)
    until(lambda: call("list_templates") == ["templatename"])
    settings = call("parse_template_for_vm", "templatename", "virtual-machine.example.com")
    wrong = {"memory": "1", "vcpu": "0", "vm_id": "x", "nothing": "1"}
    refused = call("deploy_template_for_vm", "templatename", "virtual-machine.example.com", wrong)
    assert list(refused) == ["memory", "vcpu", "nothing", "vm_id"]
    given = {**settings, "vm_id": str(ctid), "memory": "64", "passwd": "s3cret"}
    assert call("deploy_template_for_vm", "templatename", "virtual-machine.example.com", given) == {}
    name = f"of{ctid}"
    shown = call("parse_vm_for_template", ctid, name)
    assert (shown["vm_id"], shown["memory"]) == (str(ctid), "64")
    assert list(call("create_template_from_vm", ctid, name, {"memory": 0})) == ["memory"]
    assert call("create_template_from_vm", str(ctid), name, shown) == {}
    assert call("list_templates") == [name, "templatename"]
    for method, params, reason in (
        ("parse_template_for_vm", ("none", "x"), "not_there"),
        ("deploy_template_for_vm", ("none", "x", {}), "not_there"),
        ("create_template_from_vm", (ctid, name, {}), "already_there"),
        ("upload_template", (name, 5), "already_there"),
        ("fetch_template", ("x", "http://127.0.0.1:9/x.tar"), "not_fetched"),
        ("copy_template", ("x", "nowhere"), None),
        ("delete_template", ("none",), "not_there"),
    ):
        error = tour.refused(f"ovzservices.{method}", *params).error
        assert reason is None or error["data"]["reason"] == reason
    assert call("delete_template", "templatename") == call("delete_template", name) == 0
    assert call("delete_vm", ctid) == 0


def test_the_answers_are_the_documents(oms: Stack, caller: Caller, tiny: bytes) -> None:
    (shelf(oms) / "templatename.tar.xz").write_bytes(tiny)
    ovz(caller, "deploy_template_for_vm", "templatename", "old", {"vm_id": "119"})
    bad = {"memory": "x", "vcpu": "x", "vcpulimit": "x", "disk": "x", "ip_address": "x", "nameserver": "x",
           "passwd": "\t"}  # fmt: skip
    for method, params in (
        ("list_templates", ()),
        ("parse_template_for_vm", ("templatename", "virtual_machine.example.com")),
        ("deploy_template_for_vm", ("templatename", "virtual_machine.example.com", bad)),
        ("parse_vm_for_template", ("119", "templatename")),
        ("create_template_from_vm", ("119", "templatenamename", {"memory": "x", "vcpu": "x"})),
    ):
        answer = caller.raw("ovzservices", method, caller.sessid, 0, NAME, *params)
        theirs = DOCUMENTED[method].answer
        assert theirs is not None
        wire.same_shape(answer["result"]["result"], theirs["result"]["result"])
        assert answer["result"]["type"] == theirs["result"]["type"]


def test_a_container_goes_round_and_runs(oms: Stack, path: Path, caller: Caller, tiny: bytes) -> None:
    (shelf(oms) / "tiny.tar.xz").write_bytes(tiny)
    assert ovz(caller, "deploy_template_for_vm", "tiny", "first", {"onboot": "yes"}) == {}
    job = caller.task("list_tasks")[0]
    assert (job["notes"]["vm_id"], job["progress"]) == ("101", 100)
    ovz(caller, "start_vm", "101")
    attached(path, "101", "/bin/sh", "-c", "echo mine > /root/file")
    assert ovz(caller, "create_template_from_vm", "101", "made", {"description": "of a container"}) == {}
    assert len(caller.task("list_tasks")[0]["notes"]["sha256"]) == 64
    assert ovz(caller, "list_vms_status")["101"]["state"] == "running"
    assert ovz(caller, "deploy_template_for_vm", "made", "second", {}) == {}
    ovz(caller, "start_vm", "102")
    assert attached(path, "102", "/bin/cat", "/root/file", "/etc/hostname") == "mine\nsecond"
    assert "s3cret" not in str(caller.task("list_tasks"))


def test_a_hostile_archive_is_refused_and_nothing_is_made(oms: Stack, path: Path, caller: Caller) -> None:
    evil = member(b"etc/", kind=b"5") + member(b"out", kind=b"2", link=b"/") + member(b"out/tmp/pwn", b"x")
    (shelf(oms) / "evil.tar.gz").write_bytes(gzip.compress(evil + bytes(1024)))
    for method, params in (("parse_template_for_vm", ()), ("deploy_template_for_vm", ({},))):
        with pytest.raises(CallFailed, match="lies beyond 'out'"):
            ovz(caller, method, "evil", "web", *params)
    assert ovz(caller, "list_vms") == left(oms, path) == []
    assert not Path("/tmp/pwn").exists()


def test_a_job_that_is_cancelled_leaves_nothing(oms: Stack, path: Path, caller: Caller) -> None:
    large(oms)
    with contextlib.closing(oms.caller()) as other, ThreadPoolExecutor(1) as threads:
        deploying = threads.submit(ovz, other, "deploy_template_for_vm", "large", "web", {})
        job = until(lambda: running(caller, "deploy_template_for_vm", 5))
        caller.task("cancel_task", job["id"])
        with pytest.raises(CallFailed, match="cancelled"):
            deploying.result(60)
    assert ovz(caller, "list_vms") == left(oms, path) == []


def test_an_agent_that_is_killed_in_the_midst_finishes_when_it_is_back(
    oms: Stack, path: Path, caller: Caller
) -> None:
    large(oms)
    with contextlib.closing(oms.caller()) as other, ThreadPoolExecutor(1) as threads:
        deploying = threads.submit(ovz, other, "deploy_template_for_vm", "large", "web", {"vm_id": "77"})
        for percent in (1, 35):
            # A quick machine may be done before it is seen.
            until(lambda: deploying.done() or running(caller, "deploy_template_for_vm", percent))  # noqa: B023
            oms.kill("agent")
            oms.start("agent")
        assert deploying.result(120) == {}
        oms.wait_for_host(caller)
        packing = threads.submit(ovz, other, "create_template_from_vm", "77", "packed", {})
        until(lambda: packing.done() or running(caller, "create_template_from_vm", 1))
        oms.kill("agent")
        oms.start("agent")
        assert packing.result(120) == {}
        oms.wait_for_host(caller)
    assert [one["id"] for one in ovz(caller, "list_vms")] == ["77"]
    assert (path / "77/rootfs/data").stat().st_size == 120 * MIB
    assert ovz(caller, "list_templates") == ["large", "packed"]
    assert left(oms, path) == []


@pytest.mark.parametrize(
    "calls",
    [
        (("a", {"vm_id": "88"}), ("b", {"vm_id": "88"})),
        (("a", {"vm_id": "88"}), ("a", {"vm_id": "89"})),
        (("a", {"hostname": "same"}), ("b", {"hostname": "same"})),
        (("a", {"hostname": "b"}), ("b", {})),
        (("a", {"ip_address": "10.98.7.6"}), ("b", {"ip_address": "10.98.7.6"})),
    ],
)
def test_two_at_once_that_want_the_same_are_one_container(
    oms: Stack, path: Path, caller: Caller, tiny: bytes, calls: tuple[tuple[Any, ...], ...]
) -> None:
    (shelf(oms) / "tiny.tar.xz").write_bytes(tiny)

    def deploy(of: tuple[Any, ...]) -> str:
        with contextlib.closing(oms.caller()) as other:
            answer = other.raw("ovzservices", "deploy_template_for_vm", other.sessid, 0, NAME, "tiny", *of)
        if answer["error"] is not None:
            return str(answer["error"]["data"]["reason"])
        return "refused" if answer["result"]["result"]["result"] else "made"

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(threads.map(deploy, calls))
    assert outcomes in (["already_there", "made"], ["made", "refused"])
    assert len(ovz(caller, "list_vms")) == 1
    assert left(oms, path) == []


def test_a_template_is_copied_or_fetched_to_another_host(
    oms: Stack, path: Path, caller: Caller, tiny: bytes
) -> None:
    (shelf(oms) / "tiny.tar.xz").write_bytes(tiny)
    with lxc_path() as other:
        storage = oms.join("node2", containers="lxc", lxc_path=str(other), fetch_private="true")
        received = ovz(caller, "copy_template", "tiny", NAME, host="node2")
        assert received["size_bytes"] == len(tiny)
        assert (storage / "rootfs/tiny.tar").read_bytes() == tiny
        assert ovz(caller, "deploy_template_for_vm", "tiny", "web", {}, host="node2") == {}
        assert ovz(caller, "delete_vm", 101, host="node2") == 0
        with serving(tiny) as web:
            url = web.url.replace("mirror.example", "127.0.0.1")
            fetched = ovz(caller, "fetch_template", "fetched", url, received["sha256"], host="node2")
        assert fetched == received
        assert ovz(caller, "list_templates", host="node2") == ["fetched", "tiny"]
        oms.kill("node2")
