"""Interfaces, bridges and routes over the wire, on a host with a network of its own and real files.

One host for all: each test begins and ends with its card in use, no bridge, and nothing kept.
"""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oms.agent.netinterface.files.networkd import Networkd
from oms.agent.netinterface.kept import Kept, KeptBridge, KeptRoute
from tests.hosts.kvm_machines import emptied, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.net_host import Isolated, Place, ifupdown_root, isolated, why_not
from tests.hosts.stack import Caller, CallFailed
from tests.waiting import until

pytestmark = pytest.mark.hosts
MASK = "255.255.255.0"
NONE = "0.0.0.0"
CONFIRM_SECONDS = 3
DIRECTORIES = ("interfaces.d", "if-up.d")


@pytest.fixture(scope="module")
def oms(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolated]:
    directory = tmp_path_factory.mktemp("oms")
    ifupdown_root(directory / "network")
    settings = {"network_files": "ifupdown", "network_confirm": str(CONFIRM_SECONDS)}
    with isolated(directory, libvirtd.uri, **settings) as stack:
        yield stack


@pytest.fixture
def caller(oms: Isolated) -> Iterator[Caller]:
    """A client; what a test has left of bridges and routes is taken away through OMS itself."""
    with contextlib.closing(oms.caller()) as made:
        yield made
        for bridge in made.net("list_bridges"):
            made.net("delete_bridge", bridge["bridge"])
        for route in made.net("show_routing_table"):
            if route["router"] != "*" and route["destination"] != "default":
                words = (route["destination"], route["netmask"], route["router"], route["interface"])
                made.net("delete_static_route", *words)
    ours = ("network/if-up.d/oms", "network/interfaces.d/oms", "oms/network.json", "network/interfaces.d/site")
    for file in ours:
        (oms.root / "etc" / file).unlink(missing_ok=True)


def written(oms: Isolated) -> dict[str, bytes]:
    """The host's files."""
    return {str(path): path.read_bytes() for path in oms.root.rglob("*") if path.is_file()}


def refused(caller: Caller, method: str, *params: Any) -> dict[str, Any]:
    with pytest.raises(CallFailed) as failure:
        caller.net(method, *params)
    error: dict[str, Any] = failure.value.error
    assert error["name"] == "FuncManError"
    assert "/" not in error["message"].replace("/24", "").replace("/16", "")
    return error


def newest(caller: Caller) -> dict[str, Any]:
    task: dict[str, Any] = caller.task("list_tasks")[0]
    return task


# --- what is done


def test_the_uplink_moves_into_a_bridge_with_all_that_it_is_reached_by_and_back(
    oms: Isolated, caller: Caller
) -> None:
    place = oms.place
    caller.net("add_static_route", "192.168.3.0", MASK, place.near, "eth0")
    before = place.state()
    caller.net("add_bridge", "vmbr0", NONE, NONE, NONE)
    assert caller.net("add_bridge_member", "vmbr0", "eth0") == 0
    assert caller.net("list_bridges") == [{"bridge": "vmbr0", "members": ["eth0"]}]
    assert (place.addresses("vmbr0"), place.addresses("eth0")) == ([f"{place.own}/24"], [])
    assert caller.net("get_default_gateway", "vmbr0") == place.near
    assert caller.net("get_default_gateway", "eth0") == ""
    assert {(one["destination"], one["interface"]) for one in caller.net("show_routing_table")} == {
        ("192.168.3.0", "vmbr0"), (f"{place.net}.0", "vmbr0"), ("default", "vmbr0"),
    }  # fmt: skip
    shown = {one["name"]: one for one in caller.net("list_interfaces")}
    assert (shown["vmbr0"]["kind"], shown["vmbr0"]["kept_by"]) == ("bridge", "oms")
    assert (shown["eth0"]["bridge"], shown["eth0"]["kept_by"], shown["lo"]["kept_by"]) == (
        "vmbr0", "oms", "interfaces",
    )  # fmt: skip
    assert caller.net("delete_bridge", "vmbr0") == 0
    assert place.state() == before


def test_routes_come_change_and_go(oms: Isolated, caller: Caller) -> None:
    place = oms.place
    first = ("192.168.3.0", MASK, place.near)
    second = ("192.168.4.0", MASK, f"{place.net}.9")
    assert caller.net("add_static_route", *first, "eth0") == 0
    assert f"192.168.3.0/24 via {place.near} dev eth0 proto static" in place.routes()
    assert refused(caller, "add_static_route", *first, "eth0")["data"]["reason"] == "already_there"
    assert caller.net("edit_static_route", *first, "eth0", *second) == 0
    assert f"192.168.4.0/24 via {place.net}.9 dev eth0 proto static" in place.routes()
    assert not any(line.startswith("192.168.3.0") for line in place.routes())
    script = (oms.root / "etc/network/if-up.d/oms").read_text()
    assert f"ip route replace 192.168.4.0/24 via {place.net}.9 dev eth0" in script
    assert caller.net("delete_static_route", *second, "eth0") == 0
    assert not any(line.startswith("192.168.4.0") for line in place.routes())
    assert not (oms.root / "etc/network/if-up.d/oms").exists()


def test_the_hosts_gateway_is_another_one(oms: Isolated, caller: Caller) -> None:
    place = oms.place
    assert caller.net("edit_static_gateway", f"{place.net}.77", "eth0") == 0
    assert caller.net("get_default_gateway", "eth0") == f"{place.net}.77"
    assert caller.net("edit_static_gateway", place.near, "eth0") == 0
    assert [line for line in place.routes() if line.startswith("default")] == [
        f"default via {place.near} dev eth0 proto static"
    ]


def test_a_bridge_gets_members_and_another_address(oms: Isolated, caller: Caller) -> None:
    place = oms.place
    place.card("eth3")
    assert caller.net("add_bridge", "testbridge", "192.168.1.41", MASK, "192.168.1.1") == 0
    assert "behind" in newest(caller)["notes"]["gateway"]
    assert caller.net("get_default_gateway", "testbridge") == "192.168.1.1"
    assert caller.net("add_bridge_member", "testbridge", "eth3") == 0
    assert caller.net("edit_bridge", "testbridge", "192.168.1.42", MASK, NONE) == 0
    assert place.addresses("testbridge") == ["192.168.1.42/24"]
    assert caller.net("get_default_gateway", "testbridge") == ""
    assert caller.net("delete_bridge_member", "testbridge", "eth3") == 0
    assert caller.net("list_bridges") == [{"bridge": "testbridge", "members": []}]
    assert caller.net("delete_bridge", "testbridge") == 0
    place.ip("link", "del", "eth3")


# --- what is not done


def test_a_change_that_cuts_the_host_off_is_undone_by_the_host(oms: Isolated, caller: Caller) -> None:
    place = oms.place
    caller.net("add_bridge", "vmbr0", NONE, NONE, NONE)
    caller.net("add_bridge_member", "vmbr0", "eth0")
    before, on_disk = place.state(), written(oms)
    began = time.monotonic()
    error = refused(caller, "delete_bridge_member", "vmbr0", "eth0")
    assert error["data"]["reason"] == "taken_back"
    assert time.monotonic() - began >= CONFIRM_SECONDS
    assert place.state() == before
    assert written(oms) == on_disk
    assert (newest(caller)["state"], newest(caller)["error"]["name"]) == ("failed", "FuncManError")
    assert caller.net("get_default_gateway", "vmbr0") == place.near


def test_a_change_in_whose_midst_the_agent_is_killed_is_undone_when_it_is_back(
    oms: Isolated, caller: Caller
) -> None:
    place = oms.place
    caller.net("add_bridge", "vmbr0", NONE, NONE, NONE)
    caller.net("add_bridge_member", "vmbr0", "eth0")
    before, on_disk = place.state(), written(oms)
    with contextlib.closing(oms.caller()) as other, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(refused, other, "delete_bridge_member", "vmbr0", "eth0")
        until(lambda: "master" not in place.ip("link", "show", "dev", "eth0"))
        oms.kill("agent")
        assert place.state() != before
        oms.start("agent")
        until(lambda: place.state() == before, seconds=30)
        assert written(oms) == on_disk
        error = asked.result(60)
    assert error["data"]["reason"] == "interrupted"
    assert place.state() == before


def test_changes_of_a_host_follow_each_other(oms: Isolated, caller: Caller) -> None:
    caller.net("add_bridge", "vmbr0", NONE, NONE, NONE)
    caller.net("add_bridge_member", "vmbr0", "eth0")
    with contextlib.closing(oms.caller()) as other, ThreadPoolExecutor(1) as threads:
        cut = threads.submit(refused, other, "delete_bridge_member", "vmbr0", "eth0")
        until(lambda: "master" not in oms.place.ip("link", "show", "dev", "eth0"))
        until(
            lambda: [task["state"] for task in caller.task("list_tasks", "unfinished")] in (["sent"], ["running"])
        )
        assert cut.result(60)["data"]["reason"] == "taken_back"
        assert caller.net("add_bridge", "br1", NONE, NONE, NONE) == 0


def test_what_cannot_be_is_refused_and_nothing_changes(
    oms: Isolated, caller: Caller, libvirtd: PrivateLibvirtd
) -> None:
    place = oms.place
    caller.net("add_bridge", "vmbr7", "10.44.0.1", MASK, NONE)
    own = oms.root / "etc/network/interfaces.d/site"
    own.write_text("iface eth0 inet static\n    address 10.0.0.2/24\n    gateway 10.0.0.1\n")
    before, on_disk = place.state(), written(oms)
    nic = "<interface type='bridge'><source bridge='vmbr7'/><mac address='52:54:00:00:00:07'/></interface>"
    with emptied(libvirtd.uri) as virt:
        virt.defineXML(small_xml("web", devices=nic))
        for reason, words, method, *params in (
            ("in_use", "used by web", "delete_bridge", "vmbr7"),
            ("already_there", "vmbr7", "add_bridge", "vmbr7", NONE, NONE, NONE),
            ("already_there", "eth0", "add_bridge", "eth0", NONE, NONE, NONE),
            ("not_fitting", "overlaps", "add_bridge", "br1", f"{place.net}.9", MASK, NONE),
            ("not_fitting", "10.44.0.0/24", "add_bridge", "br1", "10.44.0.7", "255.255.0.0", NONE),
            ("not_fitting", "in no network", "add_static_route", "192.168.3.0", MASK, "10.9.9.9", "eth0"),
            ("not_there", "eth9", "add_static_route", "192.168.3.0", MASK, place.near, "eth9"),
            ("not_there", "eth9", "get_default_gateway", "eth9"),
            ("not_there", "eth9", "add_bridge_member", "vmbr7", "eth9"),
            ("not_there", "vmbr9", "delete_bridge", "vmbr9"),
            ("not_fitting", "site", "delete_static_route", "default", NONE, place.near, "eth0"),
            ("not_fitting", "site", "add_bridge_member", "vmbr7", "eth0"),
            ("not_fitting", "site", "edit_static_gateway", f"{place.net}.9", "eth0"),
        ):
            error = refused(caller, method, *params)
            assert (error["data"]["reason"], words in error["message"]) == (reason, True), error
    assert place.state() == before
    assert written(oms) == on_disk


@pytest.mark.parametrize(
    ("method", "params", "wrong"),
    [
        ("add_bridge", ("br0\nBOOTPROTO=dhcp", NONE, NONE, NONE), "bridge_name"),
        ("add_bridge", ("a-name-that-is-too-long", NONE, NONE, NONE), "bridge_name"),
        ("add_bridge", ("-br", NONE, NONE, NONE), "bridge_name"),
        ("add_bridge", ("br0", "10.0.0.1\n    up touch pwn", MASK, NONE), "ip_address"),
        ("add_bridge", ("br0", "10.0.0.256", MASK, NONE), "ip_address"),
        ("add_bridge", ("br0", "10.0.0.01", MASK, NONE), "ip_address"),
        ("add_bridge", ("br0", "10.0.0.1", "255.0.255.0", NONE), "netmask"),
        ("add_static_route", ("10.0.0.0", MASK, "10.0.0.1; touch pwn", "eth0"), "gateway"),
        ("add_static_route", ("10.0.0.0/24", MASK, NONE, "eth0"), "destination"),
        ("add_static_route", ("10.0.0.0", MASK, NONE, "eth0) touch pwn;;"), "interface"),
    ],
)
def test_what_a_shell_or_a_file_would_read_otherwise_gets_nowhere(
    oms: Isolated, caller: Caller, method: str, params: tuple[str, ...], wrong: str
) -> None:
    before = written(oms)
    with pytest.raises(CallFailed) as failure:
        caller.net(method, *params)
    assert (failure.value.name, failure.value.error["data"]["parameter"]) == ("ParameterMismatch", wrong)
    assert written(oms) == before


# --- the next start of the host


def test_what_was_changed_is_there_again_after_a_restart(oms: Isolated, caller: Caller) -> None:
    """Debian's own ifup brings the files up in an empty place, which is then as the host was."""
    if not shutil.which("ifup"):
        pytest.skip("needs ifupdown (scripts/bootstrap test installs it)")
    place = oms.place
    caller.net("add_bridge", "vmbr0", NONE, NONE, NONE)
    caller.net("add_bridge_member", "vmbr0", "eth0")
    caller.net("add_static_route", "192.168.3.0", MASK, place.near, "vmbr0")
    caller.net("add_bridge", "br1", "10.44.0.1", MASK, "10.44.0.9")
    caller.net("edit_bridge", "br1", "10.44.0.2", MASK, "10.44.0.8")
    with _came_up(oms) as fresh:
        for link in ("vmbr0", "br1", "eth0"):
            assert _plain(fresh.addresses(link), fresh) == _plain(place.addresses(link), place)
        assert _plain(fresh.routes(), fresh) == _plain(place.routes(), place)
        assert fresh.state()["links"]["eth0"][:2] == (True, "vmbr0")


def test_routes_over_the_administrators_links_are_there_again_after_a_restart(
    oms: Isolated, caller: Caller
) -> None:
    if not shutil.which("ifup"):
        pytest.skip("needs ifupdown (scripts/bootstrap test installs it)")
    place = oms.place
    own = oms.root / "etc/network/interfaces.d/site"
    own.write_text(f"auto eth0\niface eth0 inet static\n    address {place.own}/24\n    gateway {place.near}\n")
    caller.net("add_static_route", "192.168.3.0", MASK, place.near, "eth0")
    with _came_up(oms) as fresh:
        assert _plain(fresh.routes(), fresh) == _plain(place.routes(), place)


def _plain(lines: Iterable[str], place: Place) -> set[str]:
    """In any place, and without what is a matter of taste: who made a route, and whether its gateway was looked
    for."""
    return {line.replace(" proto static", "").replace(" onlink", "").replace(place.net, "N") for line in lines}


@contextlib.contextmanager
def _came_up(oms: Isolated) -> Iterator[Place]:
    """A place with the same card, brought up by the files that the host has now."""
    with Place() as fresh, tempfile.TemporaryDirectory(prefix="oms-etc-") as name:
        fresh.ip("addr", "flush", "dev", "eth0")
        fresh.ip("link", "set", "eth0", "down")
        etc = Path(name) / "network"
        shutil.copytree("/etc/network", etc)
        for directory in DIRECTORIES:
            for path in (oms.root / "etc/network" / directory).iterdir():
                text = path.read_text().replace(oms.place.net, fresh.net)
                (etc / directory / path.name).write_text(text)
                (etc / directory / path.name).chmod(path.stat().st_mode)
        (etc / "interfaces").write_text((oms.root / "etc/network/interfaces").read_text())
        script = 'mount --bind "$1" /etc/network; mount -t tmpfs tmpfs /run; mkdir /run/network; exec ifup -a'
        inside = ["ip", "netns", "exec", fresh.name, "unshare", "--mount", "sh", "-ec", script, "sh", str(etc)]
        done = subprocess.run(inside, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        yield fresh


NETWORKD = Path("/lib/systemd/systemd-networkd")
KEPT_BY_NETWORKD = Kept(
    bridges=(
        KeptBridge("vmbr0", ("10.44.0.2/24",), ("eth0",), "52:54:00:00:00:01"),
        KeptBridge("br1", ("10.45.0.1/24", "fd45::1/64")),
    ),
    routes=(
        KeptRoute("0.0.0.0/0", "10.44.0.1", "vmbr0"),
        KeptRoute("0.0.0.0/0", "10.45.0.254", "br1", 1024),
        KeptRoute("192.168.3.0/24", "10.44.0.9", "vmbr0"),
        KeptRoute("192.168.4.0/24", "", "eth3"),
        KeptRoute("192.168.5.0/24", "10.46.0.9", "eth3"),
    ),
)
CARD = "[Match]\nName=eth3\n\n[Network]\nAddress=10.46.0.2/24\n"


def test_systemd_networkd_makes_of_its_files_what_was_meant(tmp_path: Path) -> None:
    """The real one, in a place of its own; the administrator has a file about a card of his there."""
    if reason := why_not():
        pytest.skip(reason)
    if not NETWORKD.exists():
        pytest.skip("needs systemd-networkd (scripts/bootstrap test installs it)")
    theirs = tmp_path / "etc/systemd/network/10-card.network"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(CARD)
    Networkd(tmp_path).write(KEPT_BY_NETWORKD)
    with Place() as place, _networkd(place, theirs.parent):
        place.card("eth3")
        until(lambda: len(_plain(place.routes(), place)) == 8, seconds=20)
        assert _plain(place.routes(), place) == {
            "default via 10.44.0.1 dev vmbr0",
            "default via 10.45.0.254 dev br1 metric 1024",
            "10.44.0.0/24 dev vmbr0 proto kernel scope link src 10.44.0.2",
            "10.45.0.0/24 dev br1 proto kernel scope link src 10.45.0.1",
            "10.46.0.0/24 dev eth3 proto kernel scope link src 10.46.0.2",
            "192.168.3.0/24 via 10.44.0.9 dev vmbr0",
            "192.168.4.0/24 dev eth3 scope link",
            "192.168.5.0/24 via 10.46.0.9 dev eth3",
        }
        links = place.state()["links"]
        assert links["eth0"][:2] == (True, "vmbr0")
        assert links["vmbr0"][2] == "52:54:00:00:00:01"
        assert ("fd45::1", 64, "") in links["br1"][3]
    assert theirs.read_text() == CARD


@contextlib.contextmanager
def _networkd(place: Place, files: Path) -> Iterator[None]:
    """systemd-networkd over these files. /sys is closed to it, as in a container: it waits for no udev then."""
    place.ip("addr", "flush", "dev", "eth0")
    files.chmod(0o755)
    script = (
        'mount --bind "$1" /etc/systemd/network; mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/systemd;'
        ' mount -o remount,bind,ro /sys; exec "$2"'
    )
    inside = ["ip", "netns", "exec", place.name, "unshare", "--mount", "sh", "-ec", script, "sh"]
    process = subprocess.Popen(
        [*inside, str(files), str(NETWORKD)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
