"""The GUI before a real host: machines and containers, images and network, looked at and changed by clicks."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from playwright.sync_api import Page, expect

from oms.agent.guests.containers import ContainerSettings
from tests.agent.templates.packages import small_template
from tests.gui.gui import Gui
from tests.hosts import rootfs
from tests.hosts.containers import made
from tests.hosts.guests import domain_xml
from tests.hosts.gui_pages import look, state
from tests.hosts.kvm_machines import emptied
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.lxc_path import lxc_path
from tests.hosts.sshd import PrivateSshd
from tests.hosts.stack import NAME, PASSWORD, Caller, Stack
from tests.waiting import until

CTID = "201"
MIB = 1024 * 1024
pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with lxc_path() as it:
        made(it, CTID, ContainerSettings(memory_kb=64 * 1024, vcpus=1))
        yield it


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    with PrivateSshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def oms(
    libvirtd: PrivateLibvirtd, sshd: PrivateSshd, path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    settings = {"containers": "lxc", "lxc_path": str(path), "container_stop_seconds": "1"} | sshd.agent_settings
    with Stack(tmp_path_factory.mktemp("oms"), libvirtd.uri, **settings) as stack:
        yield stack


@pytest.fixture
def machine(libvirtd: PrivateLibvirtd, oms: Stack) -> Iterator[libvirt.virDomain]:
    with emptied(libvirtd.uri) as virt:
        console = oms.directory / "console"
        yield virt.defineXML(domain_xml("web-1", memory_mb=128, vcpu=1, console=console, disk=None, image=None))


def test_a_machine_is_found_started_changed_and_deleted(gui: Gui, machine: libvirt.virDomain) -> None:
    page = gui.page
    gui.log_in("/guests", password=PASSWORD)
    gui.heading("Guests")
    state(page, "web-1", "Off")
    look(page, "guests")
    assert gui.barriers() == []
    page.set_viewport_size({"width": 390, "height": 800})
    expect(page.get_by_role("link", name="web-1")).to_be_in_viewport()
    assert not gui.in_browser("document.querySelector('main').scrollWidth > innerWidth")
    look(page, "guests-narrow")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("row", name="web-1").get_by_role("checkbox").check()
    page.get_by_role("button", name="Start", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("1 of 1 done")).to_be_visible(timeout=20_000)
    look(page, "guests-bulk")
    assert gui.barriers() == []
    dialog.get_by_role("button", name="Close").last.click()
    state(page, "web-1", "Running")
    assert machine.isActive()

    page.get_by_role("link", name="web-1").click()
    gui.heading("web-1")
    expect(page.get_by_text(machine.UUIDString())).to_be_visible(timeout=60_000)
    look(page, "guest")
    assert gui.barriers() == []
    page.get_by_role("tab", name="Settings").click()
    memory = page.get_by_label("Memory (MB)")
    memory.fill("1")
    page.get_by_role("button", name="Save").click()
    expect(memory).to_have_attribute("aria-invalid", "true", timeout=60_000)
    look(page, "guest-settings-refused")
    assert gui.barriers() == []
    memory.fill("96")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The settings are saved")).to_be_visible(timeout=60_000)
    expect(memory).to_have_value("96")

    page.get_by_role("button", name="Actions for web-1").click()
    page.get_by_role("menuitem", name="Stop at once").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop at once").click()
    expect(page.get_by_text("web-1 is off")).to_be_visible(timeout=60_000)
    until(lambda: not machine.isActive())
    page.get_by_role("button", name="Actions for web-1").click()
    page.get_by_role("menuitem", name="Delete").click()
    sure = page.get_by_role("dialog").get_by_role("button", name="Delete for ever")
    expect(sure).to_be_disabled()
    look(page, "guest-delete")
    page.get_by_label("To go on, type its name").fill("web-1")
    sure.click()
    gui.heading("Guests")
    expect(page.get_by_role("link", name="web-1")).to_have_count(0, timeout=60_000)


def test_a_container_shows_what_it_is_and_its_console_opens_in_a_tab(gui: Gui, caller: Caller) -> None:
    page = gui.page
    gui.log_in(f"/guests/{NAME}/openvz/{CTID}", password=PASSWORD)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Running", exact=True)).to_be_visible(timeout=20_000)
    expect(page.get_by_text("Unprivileged")).to_be_visible(timeout=60_000)
    look(page, "container")
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Text console").click()
    tab = opened.value
    tab.wait_for_url("**/console/terminal.html?console=*", timeout=60_000)
    assert "SESSID" not in tab.url
    expect(tab.locator(".xterm-rows")).to_contain_text("login:", timeout=20_000)
    tab.close()
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("Memory (MB)").fill("77")
    page.get_by_label("Start with its host").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The settings are saved")).to_be_visible(timeout=60_000)
    expect(page.get_by_label("Start with its host")).to_be_checked()
    now = caller.call("ovzservices", "parse_vm_settings", caller.sessid, 0, NAME, CTID)
    assert (now["memory"], now["onboot"]) == ("77", "yes")
    look(page, "container-settings")
    assert gui.barriers() == []


def test_a_machine_and_a_container_are_made_of_templates(
    gui: Gui, oms: Stack, path: Path, libvirtd: PrivateLibvirtd, tmp_path: Path
) -> None:
    oms.templates.joinpath("small.ova").write_bytes(small_template(tmp_path, "small").read_bytes())
    place = tmp_path / "root"
    place.mkdir()
    rootfs.tiny(place)
    archive = oms.templates.parent / "rootfs" / "tiny.tar.gz"
    subprocess.run(["tar", "-C", place, "--numeric-owner", "-czf", archive, "."], check=True)
    page = gui.page
    gui.log_in("/guests/create", password=PASSWORD)
    gui.heading("Create a guest")
    page.locator("#host").fill(NAME)
    page.locator("#source").select_option("small")
    page.locator("#name").fill("made-1")
    memory = page.get_by_label("Memory (MB)")
    memory.fill("1")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(memory).to_have_attribute("aria-invalid", "true", timeout=20_000)
    look(page, "create")
    assert gui.barriers() == []
    memory.fill("128")
    page.get_by_role("button", name="Create", exact=True).click()
    gui.heading("Guests")
    state(page, "made-1", "Off")

    gui.open(f"/guests/create?what=container&host={NAME}&source=tiny")
    page.locator("#name").fill("made-2")
    page.get_by_role("button", name="Create", exact=True).click()
    gui.heading("Guests")
    state(page, "made-2", "Off")
    with emptied(libvirtd.uri) as virt:
        assert virt.lookupByName("made-1").info()[1] == 128 * 1024


def test_a_host_shows_how_it_is_and_was_and_takes_an_image(gui: Gui, oms: Stack, tmp_path: Path) -> None:
    page = gui.page
    gui.log_in(f"/hosts/{NAME}", password=PASSWORD)
    gui.heading(NAME)
    expect(page.get_by_role("img", name="CPU: ").locator("canvas")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("File systems")).to_be_visible()
    look(page, "host")
    assert gui.barriers() == []
    page.get_by_role("tab", name="Network").click()
    expect(page.get_by_role("grid", name="Interfaces").get_by_text("lo", exact=True)).to_be_visible(timeout=20_000)
    look(page, "host-network")
    assert gui.barriers() == []
    page.get_by_role("tab", name="Images").click()
    content = os.urandom(9 * 1024 * 1024)
    (tmp_path / "my cd.iso").write_bytes(content)
    page.get_by_role("button", name="Upload").first.click()
    page.get_by_role("dialog").locator("input[type=file]").set_input_files(tmp_path / "my cd.iso")
    expect(page.locator("#upload-name")).to_have_value("my-cd.iso")
    look(page, "host-upload")
    assert gui.barriers() == []
    page.get_by_role("dialog").get_by_role("button", name="Upload").click()
    expect(page.get_by_text("my-cd.iso is there")).to_be_visible(timeout=30_000)
    assert (oms.templates.parent / "iso" / "my-cd.iso").read_bytes() == content
    row = page.get_by_role("row", name="my-cd.iso")
    look(page, "host-images")
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0, timeout=60_000)
    page.get_by_role("tab", name="Volumes").click()
    expect(page.get_by_text("Logical volumes")).to_be_visible()


def test_an_upload_goes_on_after_its_hosts_agent_was_killed(
    slow_upload: Gui, oms: Stack, caller: Caller, tmp_path: Path
) -> None:
    page, content = slow_upload.page, os.urandom(30 * MIB)
    begin_upload(slow_upload, tmp_path, "long.iso", content)
    until(lambda: percent(page) > 0)
    oms.kill("agent")
    oms.start("agent")
    expect(page.get_by_text("long.iso is there")).to_be_visible(timeout=120_000)
    assert (oms.iso / "long.iso").read_bytes() == content
    oms.wait_for_host(caller)


def test_an_upload_that_is_broken_off_leaves_its_name_to_another(
    slow_upload: Gui, oms: Stack, caller: Caller, tmp_path: Path
) -> None:
    page = slow_upload.page
    begin_upload(slow_upload, tmp_path, "same.iso", os.urandom(20 * MIB))
    until(lambda: percent(page) > 0)
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    until(lambda: caller.task("list_tasks", "unfinished", NAME) == [])
    other = os.urandom(20 * MIB)
    begin_upload(slow_upload, tmp_path, "same.iso", other)
    expect(page.get_by_text("same.iso is there")).to_be_visible(timeout=120_000)
    assert (oms.iso / "same.iso").read_bytes() == other


@pytest.fixture
def slow_upload(gui: Gui) -> Gui:
    """The tab of a host's images, in a browser whose line takes seconds for some MiB."""
    gui.log_in(f"/hosts/{NAME}", password=PASSWORD)
    gui.page.get_by_role("tab", name="Images").click()
    line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 5 * MIB}
    gui.page.context.new_cdp_session(gui.page).send("Network.emulateNetworkConditions", line)
    return gui


def begin_upload(gui: Gui, directory: Path, name: str, content: bytes) -> None:
    (directory / name).write_bytes(content)
    gui.page.get_by_role("button", name="Upload").first.click()
    dialog = gui.page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(directory / name)
    dialog.get_by_role("button", name="Upload").click()


def percent(page: Page) -> int:
    """How far the upload is that is shown."""
    shown = page.get_by_role("progressbar", name="Uploading").get_attribute("aria-valuenow")
    return int(shown or 0)


def test_what_is_not_there_is_said(gui: Gui) -> None:
    gui.log_in("/guests?search=nobody", password=PASSWORD)
    expect(gui.page.get_by_text("Nothing fits", exact=True)).to_be_visible(timeout=60_000)
    gui.page.get_by_role("button", name="Clear search and filters").click()
    expect(gui.page).not_to_have_url("*search*")
    gui.page.get_by_role("combobox", name="Host", exact=True).press_sequentially(NAME)
    expect(gui.page).to_have_url(re.compile(rf"\?host={NAME}$"))
    gui.open(f"/guests/{NAME}/kvm/nobody")
    gui.heading("There is no such guest")
