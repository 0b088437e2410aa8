"""Installations over HTTPS, server, bus and agent: what else may be done meanwhile, what hostile callers send, and
that neither agent nor libvirtd is missed while they are away."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from oms.contract.kvm.install import CreateVmFromIso
from tests.hosts.install_cd import INSTALLED, UP, Console, tiny_cd
from tests.hosts.kvm_machines import emptied
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import Caller, CallFailed, Stack

pytestmark = pytest.mark.hosts
PATIENCE_S = 60
ASKED = ("m", "", "linux", "ask.iso", "1", "", "64", "", "")


@pytest.fixture(scope="module")
def daemon(real_parts: None) -> Iterator[PrivateLibvirtd]:
    """A libvirtd that can be killed."""
    with tempfile.TemporaryDirectory(prefix="oms-libvirtd-") as root, PrivateLibvirtd(Path(root)) as made:
        yield made


@pytest.fixture(scope="module")
def oms(daemon: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("oms"), daemon.uri) as stack:
        tiny_cd(stack.iso / "ask.iso")
        yield stack


@pytest.fixture
def virt(daemon: PrivateLibvirtd) -> Iterator[libvirt.virConnect]:
    with emptied(daemon.uri) as connection:
        yield connection


@pytest.fixture(autouse=True)
def alone(oms: Stack, daemon: PrivateLibvirtd) -> Iterator[None]:
    """A test that fails leaves nothing to the next."""
    yield
    if daemon.pid is None:
        daemon.start()
    if oms.processes["agent"].poll() is not None:
        oms.start("agent")
    with emptied(daemon.uri), contextlib.closing(oms.caller()) as caller:
        oms.wait_for_host(caller, PATIENCE_S)
        for job in caller.task("list_tasks", "unfinished"):
            caller.task("cancel_task", job["id"])
            ended(caller, job["id"])


def begun(caller: Caller) -> str:
    """An installation that waits to be told what to do; its job's id."""
    assert caller.kvm("create_vm_from_iso", *ASKED) == 0
    (job,) = caller.task("list_tasks", "unfinished")
    assert (job["state"], job["result"], job["progress"], job["eta"]) == ("running", 0, 10, "")
    found: str = job["id"]
    return found


def ended(caller: Caller, job: str) -> dict[str, Any]:
    task: dict[str, Any] = caller.task("wait_task", job, PATIENCE_S)
    assert task["state"] in {"done", "failed", "cancelled"}, task
    return task


def left_in(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file() and path.parent.name != ".formats"}


def test_a_cancelled_task_takes_away_what_it_made(oms: Stack, caller: Caller, virt: libvirt.virConnect) -> None:
    job = begun(caller)
    assert left_in(oms.images) == {"m.qcow2"}
    caller.task("cancel_task", job)
    assert ended(caller, job)["state"] == "cancelled"
    assert caller.kvm("list_vms") == []
    assert left_in(oms.images) == set()
    assert caller.kvm("list_file_based_images") == []


def test_the_same_call_again_finds_the_same_job(oms: Stack, caller: Caller, virt: libvirt.virConnect) -> None:
    job = begun(caller)
    assert caller.kvm("create_vm_from_iso", *ASKED) == 0
    assert [task["id"] for task in caller.task("list_tasks", "unfinished")] == [job]
    with pytest.raises(CallFailed, match="There is a machine 'm' on this host already"):
        caller.kvm("create_vm_from_iso", *ASKED[:-3], "65", "", "")
    caller.task("cancel_task", job)
    ended(caller, job)


def test_the_machine_can_be_managed_while_it_is_installed(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    job = begun(caller)
    assert caller.kvm("list_vms_status")["m"]["state"] == "running"
    assert caller.kvm("update_vm_settings", "m", {"memory": "96"}) == {}
    assert caller.kvm("stop_vm", "m") == 0
    task = ended(caller, job)
    assert (task["state"], task["result"]) == ("failed", None)
    assert "was stopped by somebody before its installer had done" in task["error"]["message"]
    assert caller.kvm("parse_vm_settings", "m")["memory"] == "96"
    assert caller.kvm("delete_vm", "m") == 0
    assert left_in(oms.images) == set()


def test_a_machine_that_is_deleted_while_it_is_installed_is_gone(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    job = begun(caller)
    assert caller.kvm("delete_vm", "m") == 0
    task = ended(caller, job)
    assert task["state"] == "failed"
    assert caller.kvm("list_vms") == []
    assert left_in(oms.images) == set()


HOSTILE: dict[str, list[Any]] = {
    "kvm_vm_name": [
        "", "../x", "a b", "-drive", "a,readonly=off", "m</name><x/>", "m\n", "n" * 64, None, 1,
    ],
    "os_variant": ["a'/><x", "-x", "a b", "../etc", "x" * 65, None, 7],
    "os_type": ["Windows", "hurd", "windows\n", None],
    "cdrom_iso": [
        "", "/etc/passwd", "../images/x.img", "nbd://127.0.0.1:1/x", 'json:{"a":1}', ".x", None,
    ],
    "file_based_disk_size": [
        "-1", "1.5", "1e3", " 1", "\uff11\uff10", "100000", 65537, -1, 1.5, True, None, "9" * 5000,
    ],
    "block_device_based_disk_path": [
        "/etc/shadow", "dev/sda", "/dev/../etc/shadow", "/dev/", "/dev/a b", "/dev/.x", "/dev/a\n", "/dev/a'/><x",
        "/dev/" + "a" * 255, None,
    ],
    "memory_size": ["", "0x40", "-64", "64 ", 0, -1, 64.0, None, True, "9" * 9],
    "noapic_on_off": [None, 1, True, "y" * 65],
    "noacpi_on_off": [None, 1, True, "y" * 65],
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_parameter_that_is_not_legal_is_named_and_nothing_is_made(
    oms: Stack, caller: Caller, virt: libvirt.virConnect, name: str
) -> None:
    place = CreateVmFromIso.__struct_fields__.index(name)
    for value in HOSTILE[name]:
        with pytest.raises(CallFailed) as failure:
            caller.kvm("create_vm_from_iso", *ASKED[:place], value, *ASKED[place + 1 :])
        assert (failure.value.name, failure.value.error["data"]["parameter"]) == ("ParameterMismatch", name), value
    assert virt.listAllDomains(0) == []
    assert left_in(oms.images) == set()


def test_agent_and_libvirtd_are_killed_while_the_installer_works(oms: Stack, daemon: PrivateLibvirtd) -> None:
    with contextlib.closing(oms.caller()) as caller:
        job = begun(caller)
        console = _console(daemon)
        oms.kill("agent")
        oms.start("agent")
        oms.wait_for_host(caller, PATIENCE_S)
        console.wait_for(INSTALLED)
        daemon.kill()
        daemon.start()
        oms.wait_for_host(caller, PATIENCE_S)
        assert caller.task("get_task", job)["state"] == "running"
        console.tell("r")
        task = ended(caller, job)
        assert (task["state"], task["result"]) == ("done", 0), task
        _runs_from_its_disk(daemon, caller)


@pytest.mark.parametrize("away", ["agent", "libvirtd", "both"])
def test_the_installer_has_done_while_nobody_looked(oms: Stack, daemon: PrivateLibvirtd, away: str) -> None:
    with contextlib.closing(oms.caller()) as caller:
        job = begun(caller)
        console = _console(daemon)
        console.wait_for(INSTALLED)
        if away in {"agent", "both"}:
            oms.kill("agent")
        if away in {"libvirtd", "both"}:
            daemon.kill()
        console.tell("r", ends=away == "agent")
        if away in {"libvirtd", "both"}:
            daemon.start()
        if away in {"agent", "both"}:
            oms.start("agent")
        task = ended(caller, job)
        assert task["state"] == "done", task
        _runs_from_its_disk(daemon, caller)


def _console(daemon: PrivateLibvirtd) -> Console:
    with contextlib.closing(daemon.connect()) as virt:
        return Console(virt.lookupByName("m"))


def _runs_from_its_disk(daemon: PrivateLibvirtd, caller: Caller) -> None:
    console = _console(daemon)
    console.wait_for(UP)
    console.close()
    assert caller.kvm("delete_vm", "m") == 0
