"""Containers move from host to host over the wire; each host is an agent's process with its own LXC and ids."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import rootfs
from tests.hosts.container_fleet import IDS, SOON, Fleet, moving, settings_of
from tests.hosts.kvm_machines import small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.lxc_path import attached, by_hand, lxc_path
from tests.hosts.stack import CallFailed, Stack
from tests.small_disk import SmallDisk

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("rsync"), reason="needs root and rsync"),
]


@pytest.fixture(scope="module")
def paths() -> Iterator[dict[str, Path]]:
    """LXC's, by host."""
    with contextlib.ExitStack() as ends:
        yield {host: ends.enter_context(lxc_path()) for host in IDS}


@pytest.fixture(scope="module")
def disk(paths: dict[str, Path]) -> Iterator[SmallDisk]:
    """That of the second host."""
    with SmallDisk(paths["node2"], 200) as made:
        yield made


@pytest.fixture(scope="module")
def fleet(
    paths: dict[str, Path], disk: SmallDisk, libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Three hosts: two that containers go between, and one that has no ids for them."""
    settings = {host: settings_of(host, path) for host, path in paths.items()}
    with Stack(tmp_path_factory.mktemp("oms"), libvirtd.uri, **settings["node1"]) as oms:
        for host in ("node2", "node3"):
            oms.join(host, **settings[host])
        fleet = Fleet(oms, paths)
        yield fleet
        fleet.caller.close()


def test_a_running_container_goes_to_another_host_and_back(fleet: Fleet) -> None:
    before = fleet.made("129")
    assert fleet.ovz("start_vm", 129) == 0
    attached(fleet.paths["node1"], "129", "/bin/sh", "-c", "echo it ran > /root/mark")
    whole = fleet.caller.raw("ovzservices", "migrate_vm", fleet.caller.sessid, 0, "node1", 129, "node2")
    answer = whole["result"]
    assert (answer["type"], answer["result"]) == ("tmp_cache", {"client": "node1", "result": 0})
    assert fleet.where("129") == {"node2": "running"}
    assert fleet.content("node2", "129") == before
    assert attached(fleet.paths["node2"], "129", "/bin/cat", "/root/mark") == "it ran"
    job = fleet.job()
    assert (job["state"], job["progress"]) == ("done", 100)
    assert {"target", "pass 1", "pass 2", "downtime"} <= set(job["notes"])
    assert fleet.ovz("migrate_vm", "129", "node1", host="node2") == 0
    assert fleet.where("129") == {"node1": "running"}
    assert fleet.content("node1", "129") == before
    assert fleet.ovz("delete_vm", 129) == 0


def test_one_that_is_off_goes_in_one_pass_and_stays_off(fleet: Fleet) -> None:
    before = fleet.made("130")
    assert fleet.ovz("migrate_vm", 130, "node2") == 0
    assert fleet.where("130") == {"node2": "shutdown"}
    assert fleet.content("node2", "130") == before
    notes = fleet.job()["notes"]
    assert "pass 1" in notes
    assert not {"pass 2", "downtime"} & set(notes)
    assert fleet.ovz("delete_vm", 130, host="node2") == 0


def refused(fleet: Fleet, ctid: Any, target: str, host: str = "node1") -> tuple[str, str, str]:
    """The error's `host`, `reason` and words. Nothing was changed by it."""
    before = fleet.where(str(ctid))
    with pytest.raises(CallFailed) as told:
        fleet.ovz("migrate_vm", ctid, target, host=host)
    assert told.value.name == "OpenVZMigrationNotCapable", told.value.error
    assert fleet.where(str(ctid)) == before
    data = told.value.error["data"]
    return data["host"], data["reason"], told.value.error["message"]


def test_hosts_that_cannot_give_or_take_it_say_why(fleet: Fleet) -> None:
    fleet.made("131")
    host, reason, words = refused(fleet, 131, "node3")
    assert (host, reason) == ("target", "not_supported")
    assert "container_ids" in words
    assert refused(fleet, 131, "node1")[0] == "target"
    rootfs.tiny(fleet.paths["node1"] / "root")
    by_hand(fleet.paths["node1"], "by-hand", fleet.paths["node1"] / "root")
    host, _, words = refused(fleet, "by-hand", "node2")
    assert host == "source"
    assert "not made by OMS" in words
    shutil.rmtree(fleet.paths["node1"] / "by-hand")
    by_hand(fleet.paths["node2"], "131", fleet.paths["node1"] / "root")
    with pytest.raises(CallFailed) as told:
        fleet.ovz("migrate_vm", 131, "node2")
    assert told.value.name == "OpenVZMigrationNotCapable"
    assert (told.value.error["data"]["host"], told.value.error["data"]["reason"]) == ("target", "already_there")
    assert fleet.where("131") == {"node1": "shutdown", "node2": "shutdown"}
    shutil.rmtree(fleet.paths["node2"] / "131")
    fleet.ovz("start_vm", 131)
    fleet.ovz("suspend_vm", 131)
    assert "stands still" in refused(fleet, 131, "node2")[2]
    fleet.ovz("delete_vm", 131)
    with pytest.raises(CallFailed, match="no container '131'"):
        fleet.ovz("migrate_vm", 131, "node2")
    fleet.made("132", bridge="oms-none")
    host, reason, words = refused(fleet, 132, "node2")
    assert (host, reason) == ("target", "not_there")
    assert "oms-none" in words
    fleet.ovz("delete_vm", 132)


def is_whole_on_node1_alone(fleet: Fleet, ctid: str, before: dict[str, Any]) -> None:
    fleet.until(lambda: fleet.job()["state"] != "running", "the job does not end")
    assert fleet.job()["state"] == "failed"
    assert fleet.where(ctid) == {"node1": "running"}
    assert fleet.content("node1", ctid) == before
    staging = fleet.paths["node2"] / ".staging"
    fleet.until(lambda: not any(staging.glob("*")), "what came was not dropped")


@pytest.mark.parametrize("victim", ["agent", "node2"])
def test_an_agent_that_is_killed_while_it_moves_leaves_it_where_it_was(fleet: Fleet, victim: str) -> None:
    before = fleet.made("133", large=True)
    fleet.ovz("start_vm", 133)
    with moving(fleet, "133") as ended:
        fleet.oms.kill(victim)
        fleet.oms.start(victim)
        fleet.oms.wait_for_host(fleet.caller, name="node1" if victim == "agent" else victim)
        assert ended.result(SOON)
    is_whole_on_node1_alone(fleet, "133", before)
    fleet.ovz("delete_vm", 133)


def test_a_target_whose_disk_gets_full_meanwhile_takes_nothing(fleet: Fleet, disk: SmallDisk) -> None:
    before = fleet.made("134", large=True)
    fleet.ovz("start_vm", 134)
    with moving(fleet, "134") as ended, disk.full():
        told = ended.result(SOON)
        # The other host's own word and the end of the connection race each other.
        assert any(said in told for said in ("no room left", "No space left", "broke off"))
    is_whole_on_node1_alone(fleet, "134", before)
    fleet.ovz("delete_vm", 134)


def test_a_move_that_is_cancelled_is_undone(fleet: Fleet) -> None:
    before = fleet.made("135", large=True)
    fleet.ovz("start_vm", 135)
    with moving(fleet, "135") as ended:
        fleet.caller.task("cancel_task", fleet.job()["id"])
        assert "cancelled" in ended.result(SOON)
    fleet.until(lambda: fleet.job()["state"] == "cancelled", "the job does not end")
    assert fleet.where("135") == {"node1": "running"}
    assert fleet.content("node1", "135") == before
    fleet.until(lambda: not any((fleet.paths["node2"] / ".staging").glob("*")), "what came was not dropped")
    fleet.ovz("delete_vm", 135)


def test_a_libvirtd_that_hangs_leaves_the_containers_in_the_answer(
    fleet: Fleet, libvirtd: PrivateLibvirtd
) -> None:
    """Machines and containers in one answer, over the wire."""

    def listed(method: str) -> Any:
        answer = fleet.caller.raw("kvmplusovzservices", method, fleet.caller.sessid, 0, "node1")
        assert answer["error"] is None
        return answer["result"]["result"]

    fleet.made("136")
    fleet.ovz("start_vm", 136)
    with contextlib.closing(libvirtd.connect()) as virt:
        domain = virt.defineXML(small_xml("136"))
        whole = listed("list_vms_status")
        assert list(whole) == ["client", "result"]
        states = {name: (state["type"], state["state"]) for name, state in whole["result"].items()}
        assert states["136"] == ("openvz", "running")
        assert states[domain.UUIDString()] == ("kvm", "shutdown")
        with libvirtd.hung():
            for method in ("list_vms_status", "list_vms"):
                part = listed(method)
                assert [one["type"] for one in part["missing"]] == ["kvm"]
                assert part["missing"][0]["reason"] == "hypervisor_unavailable"
                found = part["result"]
                kinds = {one["type"] for one in (found.values() if isinstance(found, dict) else found)}
                assert kinds == {"openvz"}
        fleet.until(lambda: "missing" not in listed("list_vms"), "the machines do not come back")
        domain.undefine()
    fleet.ovz("delete_vm", 136)
