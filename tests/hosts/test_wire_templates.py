"""Templates over the whole wire: hostile packages and settings, jobs that are cancelled, and an agent that is
killed."""

import contextlib
import hashlib
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pytest

from tests.agent.templates.packages import MIB, appliance, header, image, member, ova, packed, small_template
from tests.hosts import uploads
from tests.hosts.kvm_machines import small_xml
from tests.hosts.stack import Caller, CallFailed, Stack

pytestmark = pytest.mark.hosts


def files_of(oms: Stack) -> set[str]:
    """What lies in the host's storage, staging included."""
    storage = oms.directory / "storage"
    found = {path.relative_to(storage) for path in storage.rglob("*") if not path.is_dir()}
    return {str(path) for path in found if ".formats" not in path.parts}


def large_template(oms: Stack, name: str) -> Path:
    """One that takes a second or more to be unpacked or copied."""
    path = oms.templates / f"{name}.ova"
    if not path.exists():
        disk = image(oms.directory / "large.raw", "raw", size_mb=700, marks=())
        with disk.open("r+b") as file:
            for _ in range(700):
                file.write(b"\5" * MIB)
        ova(path, appliance(packed("d.raw", disk, "raw", size_mb=700)), {"d.raw": disk}, manifest=False)
        disk.unlink()
    return path


def task(caller: Caller, state: str, method: str = "deploy_template_for_vm") -> dict[str, Any]:
    """The newest job of that method once it is in that state."""
    end = time.monotonic() + 60
    while True:
        for found in caller.task("list_tasks"):
            if found["method"] == f"kvmservices.{method}" and found["state"] == state:
                return dict(found)
        assert time.monotonic() < end, caller.task("list_tasks")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (member(b"a.ovf") + member(b"/etc/cron.d/evil", b"x"), "'/etc/cron.d/evil'"),
        (member(b"../../evil", b"x"), "'../../evil'"),
        (member(b"evil", kind=b"2", link=b"/etc/shadow"), "'evil' is a symbolic link"),
        (header(b"evil", raw_size=b"\x80" + (2**63).to_bytes(11)), "'evil' has a size"),
        (b"\x1f\x8b\x08" + bytes(600), "packed by gzip"),
    ],
)
def test_a_hostile_package_is_refused_by_its_members_name_and_nothing_is_made(
    oms: Stack, caller: Caller, virt: libvirt.virConnect, content: bytes, shown: str
) -> None:
    (oms.templates / "hostile.ova").write_bytes(content + bytes(1024))
    before = files_of(oms)
    for method, *params in (("parse_template_for_vm",), ("deploy_template_for_vm", {})):
        with pytest.raises(CallFailed) as failure:
            caller.kvm(method, "hostile", "vm1", *params)
        assert failure.value.error["data"]["reason"] == "unusable"
        assert shown in failure.value.error["message"]
        assert "Traceback" not in json.dumps(failure.value.error)
    assert files_of(oms) == before
    assert virt.listAllDomains(0) == []


def test_a_template_is_brought_in_parts_and_deployed(
    oms: Stack, caller: Caller, virt: libvirt.virConnect, tmp_path: Path
) -> None:
    """And what is none goes as it came, whoever brings it."""
    content = small_template(tmp_path, "brought").read_bytes()
    begun = caller.kvm("upload_template", "brought", len(content), hashlib.sha256(content).hexdigest())
    uploads.bring(oms, caller, begun["address"], content, last=9_999)
    assert "brought" not in caller.kvm("list_templates")
    assert uploads.bring(oms, caller, begun["address"], content, 10_000).body["state"] == "done"
    assert "brought" in caller.kvm("list_templates")
    assert caller.kvm("deploy_template_for_vm", "brought", "vm1", {}) == {}
    assert caller.kvm("delete_vm", "vm1") == 0
    with pytest.raises(CallFailed) as taken:
        caller.kvm("upload_template", "brought", len(content))
    assert taken.value.error["data"]["reason"] == "already_there"
    before = files_of(oms)
    hostile = member(b"a.ovf") + member(b"../../evil", b"x") + bytes(1024)
    begun = caller.kvm("upload_template", "hostile2", len(hostile))
    refused = uploads.bring(oms, caller, begun["address"], hostile)
    assert refused.status == 409
    assert "'../../evil'" in refused.body["error"]["message"]
    assert files_of(oms) == before
    assert caller.kvm("delete_template", "brought") == 0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("emulator", "/bin/sh"),
        ("graphics", {"keymap": "et'/><graphics type='vnc' listen='0.0.0.0'/>"}),
        ("disks", [{"template_name": "disk1.vmdk", "deploy_type": "physical", "source_dev": "/dev/sda"}]),
        ("disks", [{"template_name": "disk1.vmdk", "deploy_type": "lvm", "source_dev": "/etc/shadow"}]),
        ("disks", [{"template_name": "disk1.vmdk", "source_file": "json:{\"driver\":\"file\"}"}]),
        ("disks", [{"template_name": "disk1.vmdk", "source_file": "../../../etc/x"}]),
        ("disks", [{"template_name": "disk1.vmdk", "target_dev": "vda'/><x"}]),
        ("features", ["acpi/><x"]),
        ("interface", {"type": "bridge", "source_bridge": "-oProxyCommand=x"}),
        ("hostname", "$(touch /tmp/pwn)"),
        ("nameserver", "8.8.8.8\"; touch /tmp/pwn; X=\""),
        ("memory", 1e308), ("memory", True), ("vcpu", "１"), ("memory", {}), ("vcpu", None), ("nonsense", 1),
    ],
    ids=str,
)  # fmt: skip
def test_a_hostile_setting_is_refused_by_name_and_nothing_is_made(
    oms: Stack, caller: Caller, virt: libvirt.virConnect, setting: str, value: Any
) -> None:
    small_template(oms.templates, "small")
    caller.kvm("parse_template_for_vm", "small", "vm1")
    before = files_of(oms)
    refused = caller.kvm("deploy_template_for_vm", "small", "vm1", {setting: value})
    assert list(refused) == [setting]
    assert files_of(oms) == before
    assert virt.listAllDomains(0) == []
    assert not Path("/tmp/pwn").exists()


@pytest.mark.parametrize("name", ["..", "a/b", "", "a\0", "x;touch /tmp/pwn", "-x", "a" * 200, "json:{}"])
def test_a_hostile_name_is_no_name(caller: Caller, name: str) -> None:
    for method, params in (
        ("parse_template_for_vm", (name, "vm1")),
        ("deploy_template_for_vm", (name, "vm1", {})),
        ("deploy_template_for_vm", ("small", name, {})),
    ):
        with pytest.raises(CallFailed, match="ParameterMismatch"):
            caller.kvm(method, *params)


def test_a_password_is_nowhere_on_the_host_when_the_machine_is_made(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    """Nor in any record or log."""
    secret = "correct-horse-battery-staple"
    small_template(oms.templates, "small")
    assert caller.kvm("deploy_template_for_vm", "small", "secretive", {"passwd": secret}) == {}
    assert secret not in json.dumps(caller.task("list_tasks"))
    places = [oms.directory / "agent", oms.directory / "storage", oms.directory / "logs"]
    places.append(oms.directory / "server" / "audit.log")
    end = time.monotonic() + 5
    while found := subprocess.run(["grep", "-rlaF", secret, *places], check=False, capture_output=True).stdout:
        assert time.monotonic() < end, found  # the agent tidies its journal when it has answered
        time.sleep(0.1)
    assert caller.kvm("delete_vm", "secretive") == 0


def test_a_job_tells_how_far_it_is_and_is_undone_when_it_is_cancelled(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    large_template(oms, "large")
    before = {path for path in files_of(oms) if not path.startswith("templates/")}
    with contextlib.closing(oms.caller()) as other, ThreadPoolExecutor(1) as threads:
        deploying = threads.submit(other.kvm, "deploy_template_for_vm", "large", "vm1", {})
        running = task(caller, "running")
        seen = set()
        while not 10 <= running["progress"] < 100:
            running = caller.task("get_task", running["id"])
            seen.add(running["progress"])
            assert running["state"] == "running", running
        caller.task("cancel_task", running["id"])
        with pytest.raises(CallFailed) as failure:
            deploying.result(60)
        assert failure.value.error["data"]["reason"] == "cancelled"
    assert {path for path in files_of(oms) if not path.startswith("templates/")} == before
    assert not [path for path in files_of(oms) if ".staging" in path]
    assert virt.listAllDomains(0) == []


def test_an_agent_that_is_killed_in_the_midst_finishes_when_it_is_back(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    large_template(oms, "large")
    with contextlib.closing(oms.caller(timeout=120)) as other, ThreadPoolExecutor(1) as threads:
        deploying = threads.submit(other.kvm, "deploy_template_for_vm", "large", "vm2", {})
        task(caller, "running")
        for seconds in (0.3, 1.0):
            time.sleep(seconds)
            oms.kill("agent")
            oms.start("agent")
        assert deploying.result(120) == {}
    assert [domain.name() for domain in virt.listAllDomains(0)] == ["vm2"]
    assert (oms.images / "vm2.qcow2").stat().st_size > 600 * MIB
    assert not [path for path in files_of(oms) if ".staging" in path]
    assert caller.kvm("delete_vm", "vm2") == 0


def test_what_is_on_the_host_already_is_not_overwritten(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    small_template(oms.templates, "small")
    virt.defineXML(small_xml("there"))
    with pytest.raises(CallFailed) as failure:
        caller.kvm("deploy_template_for_vm", "small", "there", {})
    assert failure.value.error["data"]["reason"] == "already_there"
    (oms.images / "taken.img").write_bytes(b"taken")
    disk = {"template_name": "disk1.vmdk", "source_file": "taken.img"}
    refused = caller.kvm("deploy_template_for_vm", "small", "vm3", {"disks": [disk]})
    assert "an image taken.img already" in refused["disks"][0]["error"]
    assert (oms.images / "taken.img").read_bytes() == b"taken"
    (oms.images / "taken.img").unlink()
