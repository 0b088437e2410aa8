"""The GUI in a real browser before a real OMS: one server and one browser for all of these tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.cli.served import Up
from tests.gui.gui import PASSWORD, Gui
from tests.hosts.browser import browser

expect.set_options(timeout=30_000)  # a busy machine may take its time


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An OMS whose administrator has chosen his password."""
    with Up(tmp_path_factory.mktemp("gui")) as oms:
        caller = oms.log_in(oms.shown("First login").split()[2])
        first = oms.shown("First login").split()[2]
        caller.call("userservices", "change_password", caller.sessid, 0, first, PASSWORD)
        yield oms


@pytest.fixture(scope="module")  # its event loop stands in the way of other tests
def chromium() -> Iterator[BrowserContext]:
    with browser(width=1280, height=800) as context:
        yield context


@pytest.fixture
def gui(up: Up, chromium: BrowserContext) -> Iterator[Gui]:
    """A tab in which nobody is logged in. Whatever the browser complains of fails the test."""
    made = Gui(up.port, chromium.new_page())
    yield made
    made.page.close()
    assert made.complaints == []
