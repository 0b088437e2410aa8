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

pytestmark = pytest.mark.hosts
CONFIRM_SECONDS = 8
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
        "network_confirm": str(CONFIRM_SECONDS),
        "device_mapper": group.lvm.mapper,
        "lvm_devices": group.device,
    }
    with isolated(directory, libvirtd.uri, **settings) as stack:
        yield stack


def test_a_change_that_cuts_the_host_off_runs_down_and_is_told_to_be_taken_back(
    gui: Gui, oms: Isolated, caller: Caller
) -> None:
    place, page = oms.place, gui.page
    caller.net("add_bridge", "vmbr0", NONE, NONE, NONE)
    caller.net("add_bridge_member", "vmbr0", "eth0")
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
    caller.net("delete_bridge", "vmbr0")


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
