"""Machines in the GUI before a real libvirtd: snapshots, installing from an ISO image, many at once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from playwright.sync_api import Route, expect

from tests.gui.gui import Gui
from tests.hosts.guests import domain_xml
from tests.hosts.gui_pages import dialog, look, state
from tests.hosts.install_cd import INSTALLED, Console, tiny_cd
from tests.hosts.kvm_machines import disk_xml, small_xml
from tests.hosts.stack import NAME, PASSWORD, Caller, Stack
from tests.waiting import until

pytestmark = pytest.mark.hosts
MIB = 1024 * 1024


@pytest.fixture
def disk(oms: Stack) -> Iterator[Path]:
    path = oms.images / "kept.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8M"], check=True)
    write(path, 1)
    yield path
    path.unlink()


def write(disk: Path, byte: int) -> None:
    """Fill the beginning of a disk with a byte, as its machine would."""
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -q -P {byte} 0 64k", disk], check=True)


def holds(disk: Path, byte: int) -> bool:
    said = subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", f"read -P {byte} 0 64k", disk],
        check=False,
        capture_output=True,
        text=True,
    )
    return "Pattern verification failed" not in said.stdout and said.returncode == 0


def test_snapshots_are_taken_gone_back_to_and_deleted(
    gui: Gui, oms: Stack, virt: libvirt.virConnect, disk: Path
) -> None:
    console = oms.directory / "console"
    machine = virt.defineXML(domain_xml("kept", memory_mb=32, vcpu=1, console=console, disk=disk, image=None))
    page = gui.page
    gui.log_in(f"/guests/{NAME}/kvm/{machine.UUIDString()}/snapshots", password=PASSWORD)
    gui.heading("kept")
    expect(page.get_by_text("There are no snapshots")).to_be_visible()
    look(page, "snapshots-none")
    assert gui.barriers() == []
    page.get_by_role("button", name="Take a snapshot").click()
    asking = dialog(page, "Take a snapshot")
    asking.get_by_label("Name").fill("not a name")
    asking.get_by_role("button", name="Take a snapshot").click()
    expect(asking.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    look(page, "snapshots-refused")
    assert gui.barriers() == []
    assert machine.snapshotNum() == 0
    asking.get_by_label("Name").fill("before")
    asking.get_by_label("Description").fill("before the upgrade")
    asking.get_by_role("button", name="Take a snapshot").click()
    row = page.get_by_role("row", name="before")
    expect(row).to_contain_text("before the upgrade")
    expect(row).to_contain_text("a guest that is off")
    look(page, "snapshots")
    assert gui.barriers() == []
    assert machine.snapshotListNames() == ["before"]

    write(disk, 2)
    row.get_by_role("button", name="Go back to it").click()
    look(page, "snapshots-revert")
    assert gui.barriers() == []
    assert holds(disk, 2)
    dialog(page, "Go back to before?").get_by_role("button", name="Go back to it").click()
    expect(page.get_by_text("It is as it was at before")).to_be_visible()
    assert holds(disk, 1)

    row.get_by_role("button", name="Delete").click()
    dialog(page, "Delete the snapshot before?").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There are no snapshots")).to_be_visible()
    assert machine.snapshotNum() == 0


def test_an_iso_image_is_uploaded_and_a_machine_installed_from_it(
    gui: Gui, oms: Stack, virt: libvirt.virConnect, tmp_path: Path
) -> None:
    oms.iso.joinpath("tiny.iso").unlink(missing_ok=True)
    cd = tiny_cd(tmp_path / "tiny.iso")
    with cd.open("ab") as file:
        file.truncate(20 * MIB)
    page = gui.page
    gui.log_in(f"/hosts/{NAME}/images", password=PASSWORD)
    gui.heading(NAME)
    held: list[Route] = []
    page.route("**/transfers/*", lambda route: route.continue_() if is_first(route) else held.append(route))
    page.get_by_role("button", name="Upload").first.click()
    asking = dialog(page, "Upload")
    asking.locator("input[type=file]").set_input_files(cd)
    asking.get_by_role("button", name="Upload", exact=True).click()
    expect(asking.get_by_role("progressbar", name="Uploading")).to_have_attribute("aria-valuenow", "40")
    look(page, "upload-under-way")
    assert gui.barriers() == []
    page.route("**/transfers/*", lambda route: route.continue_())
    held[0].continue_()
    expect(page.get_by_text("tiny.iso is there")).to_be_visible()
    assert (oms.iso / "tiny.iso").stat().st_size == 20 * MIB

    gui.open("/guests/create")
    page.get_by_label("A machine from an ISO image").check()
    page.locator("#host").fill(NAME)
    page.locator("#source").select_option("tiny.iso")
    page.locator("#name").fill("installed")
    memory = page.get_by_label("Memory (MB)")
    memory.fill("1")
    page.get_by_label("Disk (GB)").fill("1")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(memory).to_have_attribute("aria-invalid", "true")
    look(page, "create-iso")
    assert gui.barriers() == []
    memory.fill("64")
    page.get_by_role("button", name="Create", exact=True).click()
    gui.heading("Guests")
    state(page, "installed", "Running")
    page.get_by_role("button", name="Jobs: 1 under way").click()
    job = page.get_by_role("listitem").filter(has_text="Create machine from ISO")
    expect(job.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "10")
    look(page, "jobs-drawer-install")
    assert gui.barriers() == []

    console = Console(virt.lookupByName("installed"))
    console.wait_for(INSTALLED)
    console.tell("p")
    console.close()
    expect(page.get_by_role("button", name="Jobs: none under way")).to_be_visible(timeout=60_000)
    expect(job.get_by_text("Done", exact=True)).to_be_visible()
    assert list(oms.images.glob("installed*"))


def is_first(route: Route) -> bool:
    return route.request.headers["content-range"].startswith("bytes 0-")


def test_of_many_at_once_each_outcome_is_told(
    gui: Gui, oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    for number in (1, 2):
        virt.defineXML(small_xml(f"many-{number}"))
    gone = oms.images / "gone.img"
    virt.defineXML(small_xml("many-3", devices=disk_xml(gone)))
    page = gui.page
    gui.log_in("/guests?search=many", password=PASSWORD)
    state(page, "many-3", "Off")
    page.get_by_role("checkbox", name="Choose all on this page").check()
    page.get_by_role("button", name="Start", exact=True).click()
    outcomes = dialog(page, "What became of it")
    expect(outcomes.get_by_text("2 of 3 done")).to_be_visible()
    expect(outcomes.get_by_role("listitem", name="many-3")).to_contain_text("not done")
    expect(outcomes.get_by_role("listitem", name="many-1").get_by_text("done", exact=True)).to_be_visible()
    look(page, "bulk-outcomes")
    assert gui.barriers() == []
    assert sorted(domain.name() for domain in virt.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)) == [
        "many-1",
        "many-2",
    ]
    outcomes.get_by_role("button", name="Close").last.click()

    page.get_by_role("button", name="Add a tag").click()
    tagging = dialog(page, "Add a tag to 3 guests")
    tagging.get_by_label("Tag").fill("nightly")
    look(page, "bulk-tag")
    assert gui.barriers() == []
    tagging.get_by_role("button", name="Add").click()
    expect(outcomes.get_by_text("3 of 3 done")).to_be_visible()
    outcomes.get_by_role("button", name="Close").last.click()
    state(page, "many-3", "nightly")
    assert {one["name"] for one in caller.tag("list_tagged", "nightly")} == {"many-1", "many-2", "many-3"}

    page.get_by_role("button", name="Stop at once", exact=True).click()
    sure = dialog(page, "Stop 2 guests at once?")
    look(page, "bulk-stop")
    assert gui.barriers() == []
    sure.get_by_role("button", name="Stop at once").click()
    expect(outcomes.get_by_text("2 of 2 done")).to_be_visible()
    until(lambda: not virt.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))
