"""A machine moves between two hosts in the GUI: how far it is, that it can be cancelled, and that it arrives."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.gui.gui import Gui
from tests.hosts.gui_pages import choose, dialog, look, state
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.movers import OTHER, Movers, count, movers
from tests.hosts.stack import PASSWORD, Stack

pytestmark = pytest.mark.hosts
UNDER_WAY = re.compile(r"Jobs: \d under way")
"""The host that it goes to has a job of its own."""


@pytest.fixture(scope="module")
def both(libvirtd: PrivateLibvirtd, second_libvirtd: PrivateLibvirtd) -> Iterator[Movers]:
    with movers(libvirtd, second_libvirtd) as made:
        yield made
        made.clear()


@pytest.fixture(scope="module")
def oms(both: Movers) -> Stack:
    return both.oms


def test_a_machine_is_moved_and_a_move_is_watched_and_cancelled(gui: Gui, both: Movers) -> None:
    both.clear()
    disk = both.machine("web", filled_mb=64)
    both.slow("web")
    page = gui.page
    gui.log_in("/guests", password=PASSWORD)
    state(page, "web", "Running")
    choose(page, "web", "Move to another host")
    asking = dialog(page, "Move web to another host")
    expect(asking.get_by_role("button", name="Move", exact=True)).to_be_disabled()
    asking.get_by_label("To").fill(OTHER)
    look(page, "move")
    assert gui.barriers() == []
    asking.get_by_role("button", name="Move", exact=True).click()
    expect(page.get_by_text("Still under way")).to_be_visible()
    page.get_by_role("button", name=UNDER_WAY).click()
    job = page.get_by_role("listitem").filter(has_text="Move machine web").filter(has_text="Running")
    expect(job.get_by_role("progressbar")).to_be_visible()
    look(page, "jobs-drawer")
    assert gui.barriers() == []
    assert both.there.domain("web") is not None
    job.get_by_role("button", name="Cancel …").click()
    look(page, "job-cancel")
    assert gui.barriers() == []
    dialog(page, "Cancel this job?").get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_role("button", name="Jobs: none under way")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="Move machine web").first).to_contain_text("Cancelled")
    both.stays("web", disk)

    domain = both.here.domain("web")
    assert domain is not None
    domain.migrateSetMaxSpeed(1000)
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.get_by_role("row")).to_have_count(2)  # that of the columns, and one machine
    page.get_by_role("link", name="web", exact=True).click()
    gui.heading("web")
    choose(page, "web", "Move to another host")
    asking.get_by_label("To").fill(OTHER)
    asking.get_by_role("button", name="Move", exact=True).click()
    both.wait(lambda: both.where("web") == OTHER, "it does not go over")
    gui.open("/guests")
    row = page.get_by_role("row", name="web")
    expect(row.get_by_role("link", name=OTHER)).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    both.wait(lambda: count(both.there.images / disk.name)[1] > 0, "it does not go on")
    assert both.here.domain("web") is None
