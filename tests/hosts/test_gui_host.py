"""A host in the GUI: its network, of which every change is confirmed or taken back, and its volumes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.gui.gui import Gui
from tests.hosts.gui_pages import dialog, look
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.net_host import Isolated, ifupdown_root, isolated
from tests.hosts.stack import NAME, PASSWORD, Caller
from tests.hosts.volume_groups import VolumeGroup, volume_group
from tests.waiting import until

pytestmark = pytest.mark.hosts
CONFIRM_SECONDS = 8
"""Where a host is meant not to reach OMS; a busy machine may take longer than that where it is."""
NONE = "0.0.0.0"


@pytest.fixture(scope="module")
def group(real_parts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VolumeGroup]:
    with volume_group(tmp_path_factory.mktemp("lvm")) as made:
        yield made


@pytest.fixture(scope="module")
def oms(
    libvirtd: PrivateLibvirtd, group: VolumeGroup, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Isolated]:
    directory: Path = tmp_path_factory.mktemp("oms")
    ifupdown_root(directory / "network")
    settings = {
        "network_files": "ifupdown",
        "device_mapper": group.lvm.mapper,
        "lvm_devices": group.device,
    }
    with isolated(directory, libvirtd.uri, **settings) as stack:
        stack.place.card("eth1")
        yield stack


def test_bridges_and_routes_come_and_go_and_each_is_confirmed(gui: Gui, oms: Isolated) -> None:
    place, page = oms.place, gui.page
    before = place.state()
    gui.log_in(f"/hosts/{NAME}/network", password=PASSWORD)
    gui.heading(NAME)
    expect(page.get_by_text("There are no bridges")).to_be_visible()
    confirmed = page.get_by_text("Confirmed: the change is made")

    page.get_by_role("button", name="Add a bridge").click()
    asking = dialog(page, "Add a bridge")
    asking.get_by_label("Name").fill("vmbr7")
    asking.get_by_label("Address").fill("300.1.2.3")
    asking.get_by_role("button", name="Add a bridge").click()
    expect(asking.get_by_label("Address")).to_have_attribute("aria-invalid", "true")
    look(page, "network-bridge")
    assert gui.barriers() == []
    assert place.state() == before
    asking.get_by_label("Address").fill("192.168.77.1")
    asking.get_by_role("button", name="Add a bridge").click()
    expect(confirmed.last).to_be_visible()
    expect(asking).to_have_count(0)
    assert place.addresses("vmbr7") == ["192.168.77.1/24"]

    page.get_by_role("button", name="Add an interface").click()
    member = dialog(page, "Add an interface")
    member.get_by_label("Interface").select_option("eth1")
    member.get_by_role("button", name="Add an interface").click()
    expect(page.get_by_role("button", name="Take eth1 off")).to_be_visible()
    assert place.state()["links"]["eth1"][1] == "vmbr7"

    page.get_by_role("button", name="Add a route").click()
    route = dialog(page, "Add a route")
    route.get_by_label("Destination").fill("192.168.3.0")
    route.get_by_label("Router").fill("192.168.77.9")
    route.get_by_label("Interface").select_option("vmbr7")
    route.get_by_role("button", name="Add a route").click()
    row = page.get_by_role("row", name="192.168.3.0")
    expect(row).to_be_visible()
    assert "192.168.3.0/24 via 192.168.77.9 dev vmbr7 proto static" in place.routes()
    look(page, "network")
    assert gui.barriers() == []

    row.get_by_role("button", name="Delete").click()
    dialog(page, "Delete the route to 192.168.3.0?").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Take eth1 off").click()
    dialog(page, "Take eth1 off the bridge vmbr7?").get_by_role("button", name="Take it off").click()
    expect(page.get_by_role("button", name="Take eth1 off")).to_have_count(0)
    page.get_by_role("grid", name="Bridges").get_by_role("button", name="Delete").click()
    dialog(page, "Delete the bridge vmbr7?").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There are no bridges")).to_be_visible()
    until(lambda: place.state() == before)


@pytest.fixture
def bridged(oms: Isolated, caller: Caller) -> Iterator[None]:
    """The host's way to OMS goes through a bridge, and it waits but shortly for it."""
    caller.net("add_bridge", "vmbr0", NONE, NONE, NONE)
    caller.net("add_bridge_member", "vmbr0", "eth0")
    oms.restart_agent(caller, network_confirm=str(CONFIRM_SECONDS))
    yield
    oms.restart_agent(caller)
    caller.net("delete_bridge", "vmbr0")


@pytest.mark.usefixtures("bridged")
def test_a_change_that_cuts_the_host_off_runs_down_and_is_told_to_be_taken_back(gui: Gui, oms: Isolated) -> None:
    place, page = oms.place, gui.page
    before = place.state()
    gui.log_in(f"/hosts/{NAME}/network", password=PASSWORD)
    page.get_by_role("button", name="Take eth0 off").click()
    asking = dialog(page, "Take eth0 off the bridge vmbr0?")
    asking.get_by_role("button", name="Take it off").click()
    clock = asking.get_by_role("progressbar", name="The host makes the change")
    first = clock.get_attribute("aria-valuenow") or ""
    assert 0 < int(first) <= 60
    expect(clock).not_to_have_attribute("aria-valuenow", first)
    assert int(clock.get_attribute("aria-valuenow") or "") < int(first)
    look(page, "network-countdown")
    expect(asking.get_by_text("Taken back", exact=False).first).to_be_visible()
    expect(asking).to_contain_text(f"did not reach OMS within {CONFIRM_SECONDS} s")
    expect(clock).to_have_count(0)
    look(page, "network-taken-back")
    assert gui.barriers() == []
    assert place.state() == before


def test_a_volume_is_made(gui: Gui, oms: Isolated, group: VolumeGroup) -> None:
    page = gui.page
    gui.log_in(f"/hosts/{NAME}/volumes", password=PASSWORD)
    expect(page.get_by_role("grid", name="Volume groups").get_by_text(group.name)).to_be_visible()
    page.get_by_role("button", name="Create a volume").click()
    asking = dialog(page, "Create a volume")
    asking.get_by_label("Volume group").select_option(group.name)
    asking.get_by_label("Name").fill("of-web-1")
    asking.get_by_label("Size (MB)").fill("100000")
    asking.get_by_role("button", name="Create a volume").click()
    expect(asking.get_by_text("100000 MB were asked for")).to_be_visible()
    look(page, "volume-refused")
    assert gui.barriers() == []
    asking.get_by_label("Size (MB)").fill("8")
    asking.get_by_role("button", name="Create a volume").click()
    volumes = page.get_by_role("grid", name="Logical volumes")
    expect(volumes.get_by_text("of-web-1")).to_be_visible()
    expect(volumes.get_by_role("row", name="of-web-1")).to_contain_text("8.00 MiB")
    look(page, "volumes")
    assert gui.barriers() == []
    assert made(group) == {"of-web-1"}


def made(group: VolumeGroup) -> set[str]:
    """What LVM itself says is there."""
    words = ["lvs", "--devices", group.device, "--noheadings", "-o", "lv_name", group.name]
    return set(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split())
