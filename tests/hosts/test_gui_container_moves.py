"""A container moves between two hosts in the GUI, as a person has it moved from its own page: how far it is, that
it can be cancelled, and that it arrives."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.gui.gui import Gui
from tests.hosts.container_fleet import Fleet, apart
from tests.hosts.gui_pages import choose, dialog, look, state
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.net_host import Apart
from tests.hosts.stack import PASSWORD, CallFailed, HastyStack

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("rsync"), reason="needs root and rsync"),
]
HERE, THERE = "node1", "node2"
CTID, NAME = "151", "ct151.example.org"
UNDER_WAY = re.compile(r"Jobs: \d under way")
JOBS = re.compile(r"Jobs: ")
SLOWLY = {"migration_mb_per_second": "2"}
"""So that there is time to look at it and to cancel it."""


class HastyApart(Apart):
    """Whose callers wait for seconds alone, and are told then that a move goes on."""

    server_program = HastyStack.server_program


@pytest.fixture(scope="module")
def fleet(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with apart(tmp_path_factory.mktemp("oms"), libvirtd.uri, HastyApart, **SLOWLY) as made:
        made.made(CTID, large=True)  # before the browser is there, whose event loop stands in the way
        yield made


@pytest.fixture(scope="module")
def oms(fleet: Fleet) -> Apart:
    assert isinstance(fleet.oms, Apart)
    return fleet.oms


def move(gui: Gui) -> None:
    """Have it moved, from its own page."""
    choose(gui.page, NAME, "Move to another host")
    asking = dialog(gui.page, f"Move {NAME} to another host")
    expect(asking.get_by_role("button", name="Move", exact=True)).to_be_disabled()
    asking.get_by_label("To").fill(THERE)
    look(gui.page, "container-move")
    assert gui.barriers() == []
    asking.get_by_role("button", name="Move", exact=True).click()


def test_a_container_is_moved_and_a_move_is_watched_and_cancelled(gui: Gui, fleet: Fleet) -> None:
    before = fleet.content(HERE, CTID)
    with contextlib.suppress(CallFailed):  # it may take longer than callers wait here
        fleet.ovz("start_vm", CTID)
    fleet.until(lambda: fleet.where(CTID) == {HERE: "running"}, "it does not start")
    page = gui.page
    gui.log_in("/guests", password=PASSWORD)
    state(page, NAME, "Running")
    page.get_by_role("link", name=NAME, exact=True).click()
    gui.heading(NAME)

    move(gui)
    page.get_by_role("button", name=UNDER_WAY).click()
    jobs = page.get_by_role("listitem").filter(has_text=f"Move container {NAME}")
    progress = jobs.get_by_role("progressbar")
    first = progress.get_attribute("aria-valuenow") or ""
    look(page, "container-move-under-way")
    assert gui.barriers() == []
    expect(progress).not_to_have_attribute("aria-valuenow", first)
    assert (fleet.paths[THERE] / ".staging").exists()
    jobs.get_by_role("button", name="Cancel …").click()
    dialog(page, "Cancel this job?").get_by_role("button", name="Cancel the job").click()
    expect(jobs.get_by_text("Cancelled", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Jobs: none under way")).to_be_visible()
    look(page, "container-move-cancelled")
    assert fleet.where(CTID) == {HERE: "running"}
    assert fleet.content(HERE, CTID) == before
    fleet.until(lambda: not any((fleet.paths[THERE] / ".staging").glob("*")), "what came was not dropped")

    (fleet.paths[HERE] / CTID / "rootfs/data/large").unlink()
    before = fleet.content(HERE, CTID)
    page.get_by_role("button", name="Close", exact=True).click()
    gui.open(f"/guests/{HERE}/openvz/{CTID}")
    gui.heading(NAME)
    move(gui)
    page.get_by_role("button", name=JOBS).click()  # it may be there already
    expect(jobs.first.get_by_text("Done", exact=True)).to_be_visible()
    assert fleet.where(CTID) == {THERE: "running"}
    gui.open("/guests")
    row = page.get_by_role("row", name=NAME)
    expect(row.get_by_role("link", name=THERE)).to_be_visible()
    state(page, NAME, "Running")
    expect(page.get_by_role("row")).to_have_count(2)  # that of the columns, and one container
    assert fleet.content(THERE, CTID) == before

    gui.open(f"/guests/{HERE}/openvz/{CTID}")  # where it was
    page.get_by_role("link", name=f"{NAME} on {THERE}").click()
    gui.heading(NAME)
