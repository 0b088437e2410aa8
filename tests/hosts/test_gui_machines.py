"""Snapshots of a machine in the GUI, before a real libvirtd."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from playwright.sync_api import expect

from tests.gui.gui import Gui
from tests.hosts.guests import domain_xml
from tests.hosts.gui_pages import dialog, look
from tests.hosts.stack import NAME, PASSWORD, Stack

pytestmark = pytest.mark.hosts


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
