"""OpenVZService over the whole wire: HTTPS, server, bus, agent, and real containers through LXC."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oms.agent import sha512_crypt
from oms.agent.guests.containers import ContainerSettings
from oms.agent.guests.lxc import cgroups
from oms.contract import ovz
from oms.contract.ovz import description, power
from oms.contract.registry import OPERATIONS
from tests.contract.document import METHODS
from tests.hosts import rootfs, wire
from tests.hosts.containers import made
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.lxc_path import attached, by_hand, end_all, lxc_path
from tests.hosts.stack import NAME, Caller, CallFailed, Stack
from tests.waiting import until

pytestmark = pytest.mark.hosts
MODULES = {module.__name__ for module in (ovz, power, description)}
OURS = {kind.facts.wire for kind in OPERATIONS if kind.__module__ in MODULES}
SMALL = ContainerSettings(hostname="virtual-machine.example.com", memory_kb=64 * 1024, vcpus=1)
ADDRESS = "10.99.0.129"


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
def caller(oms: Stack, path: Path) -> Iterator[Caller]:
    with contextlib.closing(oms.caller()) as it:
        yield it
        for container in ovz_call(it, "list_vms"):
            ovz_call(it, "delete_vm", container["id"])


def ovz_call(caller: Caller, method: str, *params: Any) -> Any:
    return caller.call("ovzservices", method, caller.sessid, 0, NAME, *params)


def test_every_method_by_the_document_and_by_name(oms: Stack, path: Path, caller: Caller) -> None:
    for number, ask in enumerate((wire.bare, wire.by_name)):
        tour = wire.Tour(oms.port, ask)
        tour.sessid = caller.sessid
        _life(tour, path, 200 + number)
        assert tour.asked >= OURS


def _life(tour: wire.Tour, path: Path, ctid: int) -> None:
    """Of one container; its id is a number here and digits there."""
    name = str(ctid)

    def call(method: str, *params: Any) -> Any:
        return tour.call(f"ovzservices.{method}", *params)

    made(path, name, SMALL)
    for method in ("reboot_vm", "suspend_vm", "resume_vm"):
        assert tour.refused(f"ovzservices.{method}", ctid).error["data"]["reason"] == "container_is_off"
    assert call("list_vms_status")[name]["state"] == "shutdown"
    assert call("start_vm", name) == call("start_vm", ctid) == 0
    assert call("list_vms_status")[name]["state"] == "running"
    for method, state in (("suspend_vm", "paused"), ("resume_vm", "running"), ("reboot_vm", "running")):
        assert call(method, ctid) == 0
        assert call("describe_vm", name)["state"] == state
    assert call("update_vm_settings", name, {"memory": "48", "vcpulimit": 25}) == {}
    settings = call("parse_vm_settings", name)
    assert (settings["memory"], settings["vcpulimit"], settings["vm_id"]) == ("48", "25", name)
    assert set(call("update_vm_settings", name, {"vcpu": 0, "colour": "blue"})) == {"vcpu", "colour"}
    assert int(call("parse_system_min_max")["max_vcpu"]) == os.cpu_count()
    (listed,) = [one for one in call("list_vms", "cpu", "memory", "df", "network") if one["id"] == name]
    assert (listed["name"], listed["status"]) == ("virtual-machine.example.com", 1)
    assert listed["stats"]["memory"]["total"] == str(48 * 1024)
    assert call("set_autostart_vm", name, True) == 0
    assert call("parse_vm_settings", name)["onboot"] == "yes"
    assert call("stop_vm", name) == call("stop_vm", name) == 0
    assert call("delete_vm", ctid) == 0
    gone = tour.refused("ovzservices.delete_vm", name)
    assert (gone.name, gone.error["data"]["reason"]) == ("FuncManError", "no_such_container")
    assert tour.refused("ovzservices.start_vm", "../129").error["data"]["parameter"] == "container_id"


def test_tags_stand_at_a_container_until_it_is_gone(path: Path, caller: Caller) -> None:
    for ctid in ("140", "141"):
        made(path, ctid, SMALL)
    for ctid, tag in (("140", "web"), ("140", "v m"), ("141", "web")):
        assert caller.tag("add_tag", tag, NAME, ctid) == 0
    assert {one["id"]: one["tags"] for one in ovz_call(caller, "list_vms")} == {
        "140": ["v m", "web"],
        "141": ["web"],
    }
    assert [one["id"] for one in ovz_call(caller, "list_vms", "memory", "tag:v m")] == ["140"]
    both = caller.call("kvmplusovzservices", "list_vms", caller.sessid, 0, NAME, "tag:web")
    assert [(one["type"], one["id"]) for one in both] == [("openvz", "140"), ("openvz", "141")]
    assert ovz_call(caller, "delete_vm", "140") == 0
    assert [(found["type"], found["id"]) for found in caller.tag("list_tagged", "web")] == [("openvz", "141")]
    made(path, "140", SMALL)
    assert [one["tags"] for one in ovz_call(caller, "list_vms") if one["id"] == "140"] == [[]]


def test_the_answers_are_the_documents(oms: Stack, path: Path, caller: Caller) -> None:
    made(path, "129", ContainerSettings(hostname="suse-11.1", memory_kb=64 * 1024, addresses=(ADDRESS,)))
    documented = {method.method: method for method in METHODS if method.service == "ovzservices"}
    for method, params in (
        ("start_vm", ("129",)),
        ("list_vms_status", ()),
        ("parse_vm_settings", ("129",)),
        ("list_vms", ("memory", "cpu", "network")),
        ("list_vms", ("memory", "cpu", "network")),
        ("stop_vm", (129,)),
        ("delete_vm", (129,)),
    ):
        answer = caller.raw("ovzservices", method, caller.sessid, 0, NAME, *params)
        theirs = documented[method].answer
        assert theirs is not None
        wire.same_shape(answer["result"]["result"], theirs["result"]["result"])
        assert answer["result"]["type"] == theirs["result"]["type"]


def test_what_runs_is_changed_at_once_and_stays_so(oms: Stack, path: Path, caller: Caller) -> None:
    made(path, "131", SMALL)
    ovz_call(caller, "start_vm", 131)
    change = {
        "memory": "80", "vcpu": "2", "vcpulimit": "50", "ip_address": "10.99.0.131 10.99.0.132",
        "hostname": "other", "nameserver": "192.0.2.1 192.0.2.2", "searchdomain": "example.org",
        "onboot": "yes", "password": "a secret",
    }  # fmt: skip
    swap = {"swap": "16"} if cgroups.swap_is_counted() else {}
    assert ovz_call(caller, "update_vm_settings", 131, change | swap) == {}
    for _ in range(2):
        now = ovz_call(caller, "describe_vm", 131)
        assert (now["memory"], now["vcpu"], now["vcpulimit"], now["onboot"]) == (80, 2, 50, True)
        assert (now["ip_address"], now["hostname"]) == (["10.99.0.131", "10.99.0.132"], "other")
        assert (now["nameserver"], now["searchdomain"]) == (["192.0.2.1", "192.0.2.2"], ["example.org"])
        assert now["waiting"] == []
        assert now["swap"] == int(swap.get("swap", 0))
        assert now["unprivileged"]
        assert attached(path, "131", "/bin/nproc") == "2"
        assert attached(path, "131", "/bin/hostname") == "other"
        assert "10.99.0.132/32" in attached(path, "131", "/bin/ip", "addr")
        ovz_call(caller, "reboot_vm", 131)
    assert ovz_call(caller, "update_vm_settings", 131, {"ip_address": "10.99.0.133"}) == {}
    assert ovz_call(caller, "describe_vm", 131)["ip_address"] == ["10.99.0.133"]
    assert ovz_call(caller, "list_vms", "network")[0]["stats"]["network"] == {
        "ip": "10.99.0.133",
        "name": "venet0",
    }
    hashed = (path / "131/rootfs/etc/shadow").read_text().partition(":")[2].partition(":")[0]
    assert sha512_crypt.hashed("a secret", hashed.split("$")[2]) == hashed
    assert "a secret" not in json.dumps(caller.task("list_tasks"))


def test_a_refused_setting_changes_nothing(oms: Stack, path: Path, caller: Caller) -> None:
    made(path, "132", SMALL)
    before = (path / "132/config").read_bytes(), (path / "132/rootfs/etc/shadow").read_bytes()
    bad = {
        "memory": "1", "vcpu": "99", "vcpulimit": "-1", "disk": "10240", "ip_address": "1.2.3",
        "nameserver": '8.8.8.8"; touch /tmp/pwn; X="', "searchdomain": "a\nlxc.hook.start = /bin/sh",
        "password": "", "onboot": "maybe",
    }  # fmt: skip
    refused = ovz_call(caller, "update_vm_settings", "132", {**bad, "hostname": "fine"})
    assert set(refused) == set(bad)
    assert "made without" in refused["disk"]
    assert ((path / "132/config").read_bytes(), (path / "132/rootfs/etc/shadow").read_bytes()) == before


def test_containers_outlive_the_agent_whatever_ends_it(oms: Stack, path: Path, caller: Caller) -> None:
    made(path, "133", SMALL)
    ovz_call(caller, "start_vm", 133)
    first = attached(path, "133", "/bin/cat", "/proc/uptime")
    oms.kill("agent")
    oms.start("agent")
    oms.wait_for_host(caller)
    oms.processes["agent"].terminate()
    oms.processes["agent"].wait(60)
    oms.start("agent")
    oms.wait_for_host(caller)
    assert ovz_call(caller, "list_vms_status")["133"]["state"] == "running"
    assert float(attached(path, "133", "/bin/cat", "/proc/uptime").split()[0]) >= float(first.split()[0])


def test_one_that_does_not_shut_down_is_killed_and_that_is_said(oms: Stack, path: Path, caller: Caller) -> None:
    made(path, "134", SMALL, init=rootfs.DEAF)
    ovz_call(caller, "start_vm", 134)
    assert ovz_call(caller, "stop_vm", 134) == 0
    assert ovz_call(caller, "list_vms_status")["134"]["state"] == "shutdown"
    assert "killed" in caller.task("list_tasks")[0]["notes"]["stop"]


def test_a_stop_whose_agent_is_killed_is_finished_by_the_next(oms: Stack, path: Path, caller: Caller) -> None:
    made(path, "135", SMALL, init=rootfs.DEAF)
    ovz_call(caller, "start_vm", 135)
    with ThreadPoolExecutor(1) as threads, contextlib.closing(oms.caller()) as other:
        answer = threads.submit(ovz_call, other, "stop_vm", 135)
        until(lambda: caller.task("list_tasks")[0]["state"] == "running")
        oms.kill("agent")
        oms.start("agent")
        assert answer.result(60) == 0
    assert ovz_call(caller, "list_vms_status")["135"]["state"] == "shutdown"


def test_containers_made_by_hand_are_seen_counted_and_run(oms: Stack, path: Path, caller: Caller) -> None:
    rootfs.tiny(path / ".root")
    by_hand(path, "web", path / ".root", "lxc.cgroup.memory.limit_in_bytes = 32M\n")
    by_hand(path, "what ever", path / ".root")
    assert [(one["id"], one["name"]) for one in ovz_call(caller, "list_vms")] == [
        ("web", "web-host"), ("what ever", "what ever-host"),
    ]  # fmt: skip
    until(lambda: caller.func("list_signed")[0]["vmcount"] == 2)
    (host,) = caller.func("list_signed", "OpenNode")
    assert {"tag": "openvz", "level": 2} in host["tags"]
    assert ovz_call(caller, "start_vm", "web") == 0
    described = ovz_call(caller, "describe_vm", "web")
    assert (described["ours"], described["unprivileged"], described["memory"]) == (False, False, 32)
    with pytest.raises(CallFailed, match="no interface"):
        ovz_call(caller, "update_vm_settings", "web", {"ip_address": ADDRESS})
    assert ovz_call(caller, "update_vm_settings", "web", {"memory": "48"}) == {}
    assert ovz_call(caller, "describe_vm", "web")["memory"] == 48
    assert "# mine" in (path / "web/config").read_text()
    end_all(path)
    for name in ("web", "what ever"):
        shutil.rmtree(path / name)
