"""The methods over the whole wire: HTTPS, server, bus, agent, a real libvirtd and real qemu."""

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import libvirt
import pytest

from oms.bus import pinning
from tests.hosts.conftest import MakeDomain
from tests.hosts.guests import domain_xml
from tests.hosts.stack import NAME, Caller, CallFailed, Stack
from tests.waiting import until

pytestmark = pytest.mark.hosts
WILD = "<img src=x onerror=1>"


def define(virt: libvirt.virConnect, oms: Stack, name: str, disk: Path | None = None) -> libvirt.virDomain:
    return virt.defineXML(
        domain_xml(name, memory_mb=64, vcpu=1, console=oms.directory / "console", disk=disk, image=None)
    )


def test_a_machine_starts_shows_its_state_and_stops(oms: Stack, caller: Caller, virt: libvirt.virConnect) -> None:
    domain = define(virt, oms, "openfiler")
    assert caller.kvm("list_vms") == [
        {
            "status": 0, "tags": [], "stats": {}, "name": "openfiler", "id": "openfiler",
            "uuid": domain.UUIDString(),
        }
    ]  # fmt: skip
    assert caller.kvm("start_vm", "openfiler") == 0
    assert domain.isActive()
    assert caller.kvm("start_vm", "openfiler") == 0
    status = caller.kvm("list_vms_status")["openfiler"]
    assert list(status) == ["nrVirtCpu", "state", "maxMem", "cpuTime", "memory"]
    assert (status["nrVirtCpu"], status["state"], status["maxMem"]) == (1, "running", "65536")
    assert caller.kvm("list_vms", "memory")[0]["stats"]["memory"]["total"] == "65536"
    assert caller.kvm("stop_vm", "openfiler") == 0
    assert not domain.isActive()
    assert caller.kvm("stop_vm", "openfiler") == 0


def test_a_machine_is_on_the_list_of_all_guests_as_it_is(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    """Whoever defines, starts, destroys it: OMS is told, and asks nobody when it is asked."""

    def listed() -> list[tuple[str, str, str, int]]:
        page = caller.call("fleetservices", "list_guests", caller.sessid, 0, "seen")
        return [(it["name"], it["host"], it["state"], it["memory_mb"]) for it in page["guests"]]

    domain = define(virt, oms, "seen")
    until(lambda: listed() == [("seen", NAME, "shutdown", 64)])
    domain.create()
    until(lambda: listed() == [("seen", NAME, "running", 64)])
    domain.destroy()
    domain.undefine()
    until(lambda: listed() == [])
    (host,) = caller.call("fleetservices", "list_hosts", caller.sessid, 0)["hosts"]
    assert (host["name"], host["state"]) == (NAME, "connected")


def test_tags_go_with_the_machine_wherever_it_goes(oms: Stack, caller: Caller, virt: libvirt.virConnect) -> None:
    """Through a restart of OMS, under another name, out of sight; and away with the machine."""

    def listed(*words: str, age: int = 0) -> dict[str, list[str]]:
        machines = caller.kvm("list_vms", *words, cache_timeout=age)
        return {machine["name"]: machine["tags"] for machine in machines}

    def bearers(tag: str = "web") -> list[str]:
        return [found["name"] for found in caller.tag("list_tagged", tag)]

    one, other = define(virt, oms, "one"), define(virt, oms, "other")
    for place in (("one",), ("other", "kvm"), ()):
        assert caller.tag("add_tag", "web", NAME, *place) == 0
    caller.tag("add_tag", "v m", NAME, one.UUIDString())
    assert listed() == {"one": ["v m", "web"], "other": ["web"]}
    assert listed("cpu", "tag:web", "tag:v m", age=60) == {"one": ["v m", "web"]}
    assert caller.func("list_signed", "web") == caller.func("list_signed")
    caller.tag("edit_freeform_tag_name", "web", "www")
    assert listed(age=60) == {"one": ["v m", "www"], "other": ["www"]}
    assert [found["type"] for found in caller.tag("list_tagged", "www")] == ["host", "kvm", "kvm"]
    oms.kill("server")
    oms.start("server")
    caller.close()
    oms.wait_for_server()
    oms.wait_for_host(caller)
    one.rename("renamed")
    assert listed() == {"renamed": ["v m", "www"], "other": ["www"]}
    assert bearers("v m") == ["renamed"]
    xml = other.XMLDesc(0)
    other.undefine()
    assert listed() == {"renamed": ["v m", "www"]}
    assert bearers("www") == [NAME, "renamed"]
    virt.defineXML(xml)
    assert listed("tag:www") == {"renamed": ["v m", "www"], "other": ["www"]}
    again = one.XMLDesc(0).replace("<name>renamed", "<name>one")
    assert caller.kvm("delete_vm", "renamed") == 0
    assert bearers("v m") == []
    virt.defineXML(again)
    assert listed() == {"one": [], "other": ["www"]}
    assert caller.tag("remove_tag", "www", NAME) == 0
    assert bearers("www") == ["other"]


def test_a_guest_that_hears_is_rebooted(caller: Caller, make_domain: MakeDomain) -> None:
    guest = make_domain("hears")
    guest.start_and_wait()
    virt, before = guest.domain.connect(), guest.domain.ID()
    assert caller.kvm("reboot_vm", "hears") == 0
    assert virt.lookupByName("hears").ID() > before


def test_settings_are_refused_together_or_changed_together(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    domain = define(virt, oms, "centos54")
    before = domain.XMLDesc(0)
    refused = caller.kvm("update_vm_settings", "centos54", {"memory": "48", "vcpu": "0", "colour": "red"})
    assert set(refused) == {"vcpu", "colour"}
    assert "between 1 and" in refused["vcpu"]
    assert domain.XMLDesc(0) == before
    assert caller.kvm("update_vm_settings", "centos54", {"memory": "48"}) == {}
    settings = caller.kvm("parse_vm_settings", "centos54")
    assert (settings["memory"], settings["vcpu"]) == ("48", "1")
    assert set(caller.kvm("parse_system_min_max")) == {"max_vcpu", "min_vcpu", "min_memory", "max_memory"}


def test_what_waits_for_the_next_start_stands_in_the_notes(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    define(virt, oms, "centos54")
    caller.kvm("start_vm", "centos54")
    assert caller.kvm("update_vm_settings", "centos54", {"vcpu": "2"}) == {}
    newest = caller.task("list_tasks")[0]
    assert (newest["method"], newest["state"]) == ("kvmservices.update_vm_settings", "done")
    assert "next start" in newest["notes"]["vcpu"]
    assert caller.task("get_task", newest["id"]) == newest
    assert caller.task("wait_task", newest["id"], 1) == newest


def test_delete_takes_the_disks_in_our_storage_and_leaves_the_others(
    oms: Stack, caller: Caller, virt: libvirt.virConnect, tmp_path: Path
) -> None:
    ours, foreign = oms.images / "ours.img", tmp_path / "foreign.img"
    for disk in (ours, foreign):
        disk.write_bytes(b"\0" * 65536)
    define(virt, oms, "one", ours)
    define(virt, oms, "two", foreign)
    assert (caller.kvm("delete_vm", "one"), caller.kvm("delete_vm", "two")) == (0, 0)
    assert (ours.exists(), foreign.exists()) == (False, True)
    assert caller.kvm("list_vms") == []


def test_a_wild_name_is_listed_as_it_is_and_managed_by_uuid(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    domain = define(virt, oms, WILD)
    assert caller.kvm("list_vms")[0]["name"] == WILD
    with pytest.raises(CallFailed, match="ParameterMismatch"):
        caller.kvm("start_vm", WILD)
    assert caller.kvm("start_vm", domain.UUIDString()) == 0
    assert domain.isActive()


def test_recorded_answers_are_marked_and_dropped_by_a_change(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    define(virt, oms, "openfiler")
    until(lambda: caller.func("list_signed")[0]["vmcount"] == 1)  # to hear of it drops what is recorded, too

    def ask(age: int) -> dict[str, Any]:
        result: dict[str, Any] = caller.raw("kvm", "list_vms_status", caller.sessid, age, NAME)["result"]
        return result

    first, second = ask(0), ask(60)
    assert (first["type"], second["type"]) == ("func", "tmp_cache")
    assert second["as_of"] == first["as_of"]
    caller.kvm("start_vm", "openfiler")
    third = ask(60)
    assert (third["type"], third["result"]["result"]["openfiler"]["state"]) == ("func", "running")


@pytest.mark.parametrize(("machine", "name"), [("nobody", "FuncManError"), ("a;b", "ParameterMismatch")])
def test_a_machine_that_is_not_there_is_named(caller: Caller, machine: str, name: str) -> None:
    with pytest.raises(CallFailed) as failure:
        caller.kvm("start_vm", machine)
    assert failure.value.name == name
    assert machine in str(failure.value)


def test_an_unknown_host_is_named(caller: Caller) -> None:
    with pytest.raises(CallFailed, match="No host node9 is signed here"):
        caller.call("kvm", "list_vms", caller.sessid, 0, "node9")


def test_the_number_of_machines_follows_within_seconds(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    define(virt, oms, "outside")
    until(lambda: caller.func("list_signed")[0]["vmcount"] == 1)
    virt.lookupByName("outside").undefine()
    until(lambda: caller.func("list_signed")[0]["vmcount"] == 0)


def test_a_dead_agent_is_seen_within_seconds_and_comes_back(oms: Stack, caller: Caller) -> None:
    oms.kill("agent")
    until(lambda: caller.func("list_signed")[0]["status"] == 0)
    with pytest.raises(CallFailed, match="is not connected"):
        caller.kvm("list_vms")
    oms.start("agent")
    oms.wait_for_host(caller)
    assert caller.func("list_signed")[0]["status"] == 1


def test_a_session_survives_a_restart_of_the_server(oms: Stack, caller: Caller) -> None:
    oms.kill("server")
    oms.start("server")
    oms.wait_for_server()
    caller.close()
    assert caller.call("authservices", "checksessid", caller.sessid) == 0
    oms.wait_for_host(caller)


def test_a_removed_host_is_cut_off_and_asks_again_with_a_new_key(oms: Stack, caller: Caller) -> None:
    before = caller.func("describe_host", NAME)
    assert caller.func("remove_signed", [NAME]) == {"failed_removals": []}
    assert caller.func("list_signed") == []
    with pytest.raises(CallFailed, match="UnknownRemoveSignedError"):
        caller.func("remove_signed", [NAME])
    (request,) = until(lambda: caller.call("fleetservices", "describe_requests", caller.sessid, 0))
    assert caller.func("sign_key", NAME, request["key_sha256"]) == {"type": "KVM"}
    oms.wait_for_host(caller)
    after = caller.func("describe_host", NAME)
    assert after["key_sha256"] != before["key_sha256"]
    assert after["id"] != before["id"]


def test_a_stopped_agent_runs_what_it_was_told_once_when_it_wakes_in_time(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    domain = define(virt, oms, "sleepy")
    os.kill(oms.pid("agent"), signal.SIGSTOP)
    try:
        time.sleep(0.2)
        body = {"service": "kvm", "method": "start_vm", "id": 1, "params": [caller.sessid, 0, NAME, "sleepy"]}
        connection = http.client.HTTPSConnection("127.0.0.1", oms.port, timeout=60, context=pinning.unverified())
        connection.request("POST", "/", json.dumps(body))
        time.sleep(2)
        assert not domain.isActive()
    finally:
        os.kill(oms.pid("agent"), signal.SIGCONT)
    assert json.loads(connection.getresponse().read())["error"] is None
    connection.close()
    assert domain.isActive()
    with contextlib.closing(sqlite3.connect(oms.directory / "agent" / "journal.db")) as journal:
        assert journal.execute("SELECT runs FROM jobs ORDER BY seq DESC LIMIT 1").fetchone() == (1,)
