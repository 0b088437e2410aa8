"""Every method in every way of writing a call, the 2011 document's own examples, and who may call what: over
HTTPS, server, bus and agent, on a real libvirtd and real qemu."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pytest

from oms.contract.operation import Permission
from oms.contract.registry import OPERATIONS
from tests.agent.templates.packages import small_template
from tests.contract.document import METHODS, Documented
from tests.hosts import account_tours, container_tours, net_examples, tours, wire
from tests.hosts.conftest import MakeDomain
from tests.hosts.guest_image import UP_MARKER
from tests.hosts.install_cd import tiny_cd
from tests.hosts.kvm_machines import small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.net_host import Isolated, isolated
from tests.hosts.stack import NAME, PASSWORD, Caller, CallFailed, Stack
from tests.hosts.volume_groups import VolumeGroup, volume_group
from tests.waiting import until

pytestmark = pytest.mark.hosts
USERS = {"violet": "viewer", "oscar": "operator", "ada": "admin"}


@pytest.fixture(scope="module")
def group(real_parts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VolumeGroup]:
    with volume_group(tmp_path_factory.mktemp("lvm")) as made:
        yield made


@pytest.fixture(scope="module")
def oms(
    libvirtd: PrivateLibvirtd, group: VolumeGroup, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Isolated]:
    seen = {"device_mapper": group.lvm.mapper, "lvm_devices": group.device}
    with isolated(tmp_path_factory.mktemp("oms"), libvirtd.uri, **seen) as stack:
        yield stack


@pytest.mark.parametrize("written", ["as documented", "in every way"])
def test_every_method_answers_however_it_is_written(
    oms: Isolated, virt: libvirt.virConnect, group: VolumeGroup, written: str
) -> None:
    """How each is read is tested in tests/contract and tests/server/edge; here what was read is done."""
    domain = virt.defineXML(small_xml("openfiler", vcpus="<vcpu current='1'>2</vcpu>"))
    tour = wire.Tour(oms.port, wire.bare if written == "as documented" else wire.in_turn())
    tour.sessid = tour.call("authservices.authenticate", "admin", PASSWORD)
    assert tour.call("authservices.checksessid") == 0
    _tour_of_hosts(tour)
    _tour_of_machines(tour, domain)
    tours.fleet(tour)
    _tour_of_tasks(tour)
    tours.power(tour, domain)
    tours.snapshots(tour, virt, oms.images)
    tours.devices(tour, virt, oms.images.parent / "iso", oms.place)
    _tour_of_volumes(tour, group)
    tours.disk_images(tour, oms)
    tours.iso_images(tour, oms)
    tours.statistics(tour)
    tours.templates(tour, oms)
    container_tours.containers(tour)
    tours.consoles(tour)
    tours.tags(tour)
    account_tours.accounts(tour)
    tours.network(tour, oms.place)
    _tour_of_an_installation(tour, oms.iso / f"{written.replace(' ', '-')}.iso")
    assert tour.call("kvmservices.delete_vm", "openfiler") == 0
    assert tour.call("kvmservices.list_vms") == []
    assert tour.call("authservices.deauthenticate") == 0
    assert tour.refused("authservices.checksessid").name == "AuthError"
    assert tour.refused("authservices.deauthenticate").name == "DeathError"
    assert tour.asked == {kind.facts.wire for kind in OPERATIONS}


def _tour_of_hosts(tour: wire.Tour) -> None:
    assert tour.call("funcservices.list_requests") == []
    until(lambda: tour.call("funcservices.list_signed")[0]["vmcount"] == 1)  # the host tells it a little later
    (host,) = tour.call("funcservices.list_signed")
    assert (host["name"], host["status"]) == (NAME, 1)
    assert tour.call("funcservices.list_signed", "KVM") == [host]
    assert tour.call("funcservices.list_signed", "OpenNode") == []
    described = tour.call("funcservices.describe_host", NAME)
    assert (described["status"], described["tags"]) == (1, host["tags"])
    assert len(tour.call("funcservices.ca_sha256")["sha256"]) == 64
    for method, error in (
        ("sign_requests", "UnknownSignRequestsError"),
        ("remove_requests", "UnknownRemoveRequestError"),
        ("remove_signed", "UnknownRemoveSignedError"),
    ):
        refused = tour.refused(f"funcservices.{method}", ["no-such-host"])
        assert (refused.name, refused.error["data"]["unknown"]) == (error, ["no-such-host"])
    refused = tour.refused("funcservices.sign_key", "no-such-host", "0" * 64)
    assert refused.name == "UnknownSignRequestsError"


def _tour_of_machines(tour: wire.Tour, domain: libvirt.virDomain) -> None:
    limits = tour.call("kvmservices.parse_system_min_max")
    assert limits["max_vcpu"] == str(os.cpu_count())
    (machine,) = tour.call("kvmservices.list_vms", "cpu", "memory", "df")
    assert (machine["name"], machine["status"]) == ("openfiler", 0)
    assert tour.call("kvmservices.start_vm", "openfiler") == 0
    assert domain.isActive()
    assert tour.call("kvmservices.start_vm", "openfiler") == 0
    (machine,) = tour.call("kvmservices.list_vms", "cpu", "memory")
    assert (machine["status"], set(machine["stats"]) - {"cpu"}) == (1, {"memory"})
    (machine,) = tour.call("kvmservices.list_vms", "cpu", "memory")
    assert list(machine["stats"]) == ["memory", "cpu"]  # a load is one since the question before
    assert tour.call("kvmservices.list_vms_status")["openfiler"]["state"] == "running"
    assert tour.call("kvmservices.update_vm_settings", "openfiler", {"vcpu": "2"}) == {}
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_LIVE) == 2
    assert tour.call("kvmservices.parse_vm_settings", "openfiler")["vcpu"] == "2"
    assert set(tour.call("kvmservices.update_vm_settings", "openfiler", {"vcpu": 0})) == {"vcpu"}
    assert tour.call("kvmservices.stop_vm", "openfiler") == 0
    assert not domain.isActive()
    assert tour.refused("kvmservices.stop_vm", "nobody").error["data"]["reason"] == "no_such_machine"
    assert tour.refused("kvmservices.stop_vm", "../x").name == "ParameterMismatch"


def _tour_of_volumes(tour: wire.Tour, group: VolumeGroup) -> None:
    assert tour.call("lvmservices.list_lv") == []
    assert tour.call("lvmservices.create_lv", group.name, "disk", 5) == 0
    assert ["LV", "Size", "8.00", "MiB"] in tour.call("lvmservices.list_lv")[0]
    assert tour.call("lvmservices.list_vg")[0][0] == ["VG", "Name", group.name]
    taken = tour.refused("lvmservices.create_lv", group.name, "disk", 6)
    assert taken.error["data"]["reason"] == "already_there"
    assert tour.call("lvmservices.delete_lv", group.name, "disk") == 0
    assert tour.refused("lvmservices.delete_lv", group.name, "disk").error["data"]["reason"] == "not_there"


def _tour_of_an_installation(tour: wire.Tour, medium: Path) -> None:
    tiny_cd(medium, "r")
    asked = ("new", "debian11", "linux", medium.name, "1", "", "64", "", "")
    assert tour.call("kvmservices.create_vm_from_iso", *asked) == 0
    job = tour.call("taskservices.list_tasks")[0]
    assert (job["method"], job["target"], job["result"]) == ("kvmservices.create_vm_from_iso", "new", 0)
    ended = tour.call("taskservices.wait_task", job["id"], 30)
    assert (ended["state"], ended["progress"]) == ("done", 100)
    assert "started from its disk" in ended["notes"]["installation"]
    assert tour.call("kvmservices.list_vms_status")["new"]["state"] == "running"
    assert tour.refused("kvmservices.create_vm_from_iso", *asked).error["data"]["reason"] == "already_there"
    assert tour.call("kvmservices.list_file_based_images_used") == ["new.qcow2"]
    assert tour.call("kvmservices.delete_vm", "new") == 0
    assert tour.call("kvmservices.list_file_based_images") == []


def _tour_of_tasks(tour: wire.Tour) -> None:
    newest = tour.call("taskservices.list_tasks", "failed", NAME)[0]
    assert (newest["method"], newest["target"]) == ("kvmservices.stop_vm", "nobody")
    assert (newest["error"]["name"], newest["owner"]) == ("FuncManError", "admin")
    assert tour.call("taskservices.get_task", newest["id"]) == newest
    assert tour.call("taskservices.wait_task", newest["id"], 0) == newest
    assert tour.call("taskservices.cancel_task", newest["id"]) == newest
    assert tour.call("taskservices.list_tasks", "unfinished") == []
    assert tour.refused("taskservices.get_task", "0" * 32).error["data"]["reason"] == "no_such_task"


def test_a_batch_answers_each_call_in_its_place(oms: Stack, caller: Caller) -> None:
    front = [caller.sessid, 0]
    answers = wire.request(oms.port, "POST", "/", [
        {"jsonrpc": "2.0", "id": "a", "method": "kvmservices.list_vms", "params": [*front, NAME]},
        {"jsonrpc": "2.0", "method": "funcservices.list_signed", "params": front},
        {"jsonrpc": "2.0", "id": "b", "method": "funcservices.nonsense", "params": front},
        {"jsonrpc": "2.0", "id": "c", "method": "funcservices.list_signed", "params": front},
    ])  # fmt: skip
    assert [answer["id"] for answer in answers] == ["a", "b", "c"]
    assert answers[0]["result"]["result"] == {"client": NAME, "result": []}
    assert (answers[1]["error"]["code"], answers[1]["error"]["data"]["name"]) == (-32601, "MethodNotFound")
    assert answers[2]["result"]["result"][0]["name"] == NAME


ELSEWHERE = {
    "ovzservices": "test_wire_containers.py and test_wire_container_templates.py, where there are containers",
    "sshservices": "test_wire_consoles.py, where there is an SSH server",
    "vnc_connection": "test_wire_consoles.py",
    "tagservices": "the tour, and tests/server/test_tags.py, where there are tags",
}
"""Whose examples are answered in other files: services, and parts of methods' names."""
HERE = [documented for documented in METHODS if not any(name in str(documented) for name in ELSEWHERE)]


@pytest.mark.parametrize("documented", HERE, ids=str)
def test_an_example_of_the_document_is_answered_in_its_shape(
    oms: Isolated, caller: Caller, virt: libvirt.virConnect, documented: Documented
) -> None:
    """The addresses as printed, with this session, this host, and machines of those names."""
    for name in ("openfiler", "openfiler2", "openfiler23", "centos54", "winxp2"):
        virt.defineXML(small_xml(name))
    for name in ("templatename", "templeit"):
        small_template(oms.templates, name)
    assert documented.queries
    for query in documented.queries:
        _forget(caller, "test_vm_1")  # a name that is made
        if documented.method == "create_template_from_vm":
            (oms.templates / "templeit.ova").unlink()
        _image_of_the_example(oms.images / "testimage.img", there=documented.method != "create_file_based_image")
        if documented.service == "netinterfaceservices":
            net_examples.prepare(oms.place, documented.method)
        if documented.method == "create_vm_from_iso":
            tiny_cd(oms.iso / "winxpsp2corp.iso")
        shown = (
            query.replace('"SESSID"', f'"{caller.sessid}"').replace("funcclient", NAME)
            .replace('["username","password"]', f'["admin","{PASSWORD}"]').replace(" ", "%20")
        )  # fmt: skip
        answer = wire.request(oms.port, "GET", f"/?{shown}")
        if documented.method in ("sign_requests", "remove_requests"):
            # Nobody waits to be signed here; what is answered where somebody does is tested with a removed host.
            assert answer["error"]["name"] in documented.errors
            continue
        if documented.method == "remove_signed":
            assert wire.unwrapped(documented.declared, answer["result"]) == {"failed_removals": []}
            oms.sign_in()
            continue
        assert (answer["error"], answer["id"]) == (None, 1)
        if documented.answer is None:
            assert answer["result"]["type"] == documented.declared.facts.answers
            continue
        assert answer["result"]["type"] == documented.answer["result"]["type"]
        ours = wire.unwrapped(documented.declared, answer["result"])
        theirs = documented.answer["result"]["result"]
        wire.same_shape(ours, theirs["result"] if isinstance(theirs, dict) and "client" in theirs else theirs)


def _image_of_the_example(path: Path, *, there: bool) -> None:
    path.unlink(missing_ok=True)
    if there:
        path.write_bytes(bytes(1024))


def _forget(caller: Caller, name: str) -> None:
    """The machine of that name, made by another query, with its disks."""
    with contextlib.suppress(CallFailed):
        caller.kvm("delete_vm", name)


def test_a_removed_hosts_request_can_be_refused_and_it_asks_again(oms: Stack, caller: Caller) -> None:
    assert caller.func("remove_signed", [NAME]) == {"failed_removals": []}
    with pytest.raises(CallFailed, match="No host node1"):
        caller.kvm("list_vms")
    until(lambda: bool(caller.func("list_requests")))
    with pytest.raises(CallFailed, match=r"UnknownSignRequestsError.*node9"):
        caller.func("sign_requests", [NAME, "node9"])
    assert caller.func("list_requests") == [{"name": NAME}]
    assert caller.func("remove_requests", [NAME]) == 0
    assert caller.func("list_signed") == []
    until(lambda: bool(caller.func("list_requests")))
    assert caller.func("sign_requests", [NAME]) == []
    oms.wait_for_host(caller)


def test_a_booted_guest_starts_changes_while_it_runs_and_stops(caller: Caller, make_domain: MakeDomain) -> None:
    guest = make_domain("booted", memory_mb=192)
    assert caller.kvm("start_vm", "booted") == 0
    assert "memory_kib=" in guest.wait_for(UP_MARKER)
    assert caller.kvm("update_vm_settings", "booted", {"memory": "128"}) == {}
    until(lambda: caller.kvm("list_vms_status")["booted"]["memory"] == str(128 * 1024))
    assert _newest(caller)["notes"]["memory"].startswith("changed ")  # "now" where the guest was quick
    assert caller.kvm("update_vm_settings", "booted", {"memory": "256"}) == {}
    assert "next start" in _newest(caller)["notes"]["memory"]
    assert guest.domain.info()[2] == 128 * 1024
    assert caller.kvm("parse_vm_settings", "booted")["memory"] == "256"
    (machine,) = caller.kvm("list_vms", "memory", "cpu")
    assert 0 < float(machine["stats"]["memory"]["percentage"]) <= 100
    assert caller.kvm("stop_vm", "booted") == 0
    assert not guest.domain.isActive()


@contextlib.contextmanager
def _held(daemon: PrivateLibvirtd) -> Iterator[None]:
    """The daemon stands still, and goes on at the end. Its parent, `nsenter`, stops with it, but has to be told
    to go on."""
    assert daemon.pid is not None
    parent = int(Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (daemon.pid, parent):
            os.kill(pid, signal.SIGCONT)


def test_a_job_that_has_not_begun_is_taken_back(
    oms: Stack, caller: Caller, virt: libvirt.virConnect, libvirtd: PrivateLibvirtd
) -> None:
    """The hypervisor stands still, so the first job stays under way, and the second behind it."""
    domain = virt.defineXML(small_xml("held"))
    with (
        contextlib.closing(oms.caller()) as one,
        contextlib.closing(oms.caller()) as two,
        ThreadPoolExecutor(2) as threads,
    ):
        with _held(libvirtd):
            started = threads.submit(one.kvm, "start_vm", "held")
            until(lambda: [task["state"] for task in caller.task("list_tasks", "unfinished")] == ["running"])
            stopped = threads.submit(two.kvm, "stop_vm", "held")
            until(lambda: len(caller.task("list_tasks", "unfinished")) == 2)
            waiting = caller.task("list_tasks", "unfinished")[0]
            assert (waiting["method"], waiting["started"]) == ("kvmservices.stop_vm", "")
            ended = caller.task("cancel_task", waiting["id"])
            assert (ended["state"], ended["error"]["name"]) == ("cancelled", "FuncManError")
            with pytest.raises(CallFailed) as failure:
                stopped.result(60)
            assert failure.value.error["data"]["reason"] == "cancelled"
        assert started.result(60) == 0
    assert domain.isActive()
    assert caller.task("wait_task", _newest(caller)["id"], 60)["state"] == "cancelled"


def test_a_record_ends_with_its_age_and_with_any_change_of_its_host(
    caller: Caller, virt: libvirt.virConnect
) -> None:
    virt.defineXML(small_xml("openfiler"))

    def ask(age: int, *stats: str) -> tuple[str, str, int]:
        result = caller.raw("kvm", "list_vms", caller.sessid, age, NAME, *stats)["result"]
        return result["type"], result["as_of"], len(result["result"]["result"])

    first = ask(0)
    assert first[0] == "func"
    virt.defineXML(small_xml("outside"))
    assert ask(60) == ("tmp_cache", first[1], 1)
    assert ask(60, "cpu")[0] == "func"  # another question
    time.sleep(1.1)
    assert ask(1)[::2] == ("func", 2)
    with pytest.raises(CallFailed):
        caller.kvm("delete_vm", "nobody")
    assert ask(60)[0] == "func"
    refused = caller.raw("kvm", "list_vms", caller.sessid, -1, NAME)["error"]
    assert (refused["name"], refused["data"]["parameter"]) == ("ParameterMismatch", "cache_timeout")


@pytest.fixture(scope="module")
def users(oms: Stack) -> Iterator[dict[str, Caller]]:
    """A logged-in caller for each role."""
    with contextlib.ExitStack() as ends:
        made = {}
        for name, role in USERS.items():
            oms.add_user(name, role)
            made[role] = ends.enter_context(contextlib.closing(Caller(oms.port)))
            made[role].log_in(name, f"some words of {name}")
        yield made


@pytest.mark.parametrize("role", USERS.values())
def test_a_role_may_do_what_it_may_and_no_more(users: dict[str, Caller], role: str) -> None:
    """Parameters are missing, so that what is allowed is refused for that, and nothing is done."""
    level, caller = Permission[role.upper()], users[role]
    seen = set()
    for kind in OPERATIONS:
        if kind.facts.permission is Permission.NOBODY:
            continue
        name = kind.facts.service.name
        answer = caller.raw(name, kind.facts.name, caller.sessid, *[{}] * (len(kind.facts.params) + 1))
        allowed = kind.facts.permission <= level
        assert answer["error"]["name"] == ("ParameterMismatch" if allowed else "AuthError"), kind
        seen.add(allowed)
    assert seen == ({True} if role == "admin" else {True, False})


def test_roles_at_real_work(oms: Stack, users: dict[str, Caller], virt: libvirt.virConnect) -> None:
    domain = virt.defineXML(small_xml("openfiler"))
    viewer, operator, admin = (users[role] for role in ("viewer", "operator", "admin"))
    assert [machine["name"] for machine in viewer.kvm("list_vms")] == ["openfiler"]
    with pytest.raises(CallFailed, match="needs the role operator; violet is viewer"):
        viewer.kvm("start_vm", "openfiler")
    assert not domain.isActive()
    assert operator.kvm("start_vm", "openfiler") == 0
    assert domain.isActive()
    with pytest.raises(CallFailed, match="needs the role admin; oscar is operator"):
        operator.func("remove_signed", [NAME])
    assert admin.func("list_signed")[0]["status"] == 1
    assert _newest(viewer)["owner"] == "oscar"
    with contextlib.closing(Caller(oms.port)) as wrong, pytest.raises(CallFailed, match="AuthError"):
        wrong.log_in("violet", "wrong password")


def _newest(caller: Caller) -> dict[str, Any]:
    newest: dict[str, Any] = caller.task("list_tasks")[0]
    return newest
