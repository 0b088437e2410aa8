"""Hosts: how one joins, as an administrator sees it."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.cli.command import OMS, environment
from tests.cli.served import Up
from tests.gui.gui import PASSWORD, Gui


@pytest.fixture
def asking(up: Up, tmp_path: Path) -> Iterator[list[str]]:
    """Two hosts, with guests that are not there, which ask to be let in: their names."""
    words = ("--hosts", "2", "--guests", "3", "--prefix", "gui", "--data", str(tmp_path / "hosts"))
    there = ("--server", f"https://127.0.0.1:{up.port}", "--ca-sha256", up.shown("CA fingerprint"))
    with (tmp_path / "sim.log").open("wb") as log:
        running = subprocess.Popen([*OMS, "sim", *words, *there], env=environment(), stdout=log, stderr=log)
        try:
            yield ["gui-0001", "gui-0002"]
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(60)
            admin = up.log_in(PASSWORD)
            with contextlib.suppress(Exception):
                admin.call("funcservices", "remove_signed", admin.sessid, 0, ["gui-0001"])


def test_a_host_that_asks_is_signed_by_its_fingerprint_and_is_there(gui: Gui, up: Up, asking: list[str]) -> None:
    gui.log_in("/hosts")
    gui.heading("Hosts")
    first, second = asking
    gui.page.get_by_role("button", name=f"Sign {first}").click()
    dialog = gui.page.get_by_role("dialog")
    admin = up.log_in(PASSWORD)
    waiting = admin.call("fleetservices", "describe_requests", admin.sessid, 0)
    key = next(host["key_sha256"] for host in waiting if host["name"] == first)
    assert key in (dialog.text_content() or "")
    assert gui.barriers() == []
    expect(dialog.get_by_role("button", name="Sign the host")).to_be_disabled()
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name="Sign the host").click()
    expect(gui.page.get_by_text(f"{first} is signed")).to_be_visible()
    row = gui.page.get_by_role("row").filter(has_text=first)
    expect(row).to_contain_text("Connected")  # by itself: nobody loads the page anew
    expect(row).to_contain_text("of 3")
    row.get_by_role("link", name=first).click()
    gui.heading(first)
    expect(gui.page.get_by_text("Fingerprint of its key")).to_be_visible()
    gui.page.go_back()
    gui.page.get_by_role("button", name=f"Reject {second}").click()
    gui.page.get_by_role("dialog").get_by_role("button", name="Reject the request").click()
    expect(gui.page.get_by_text(f"The request of {second} is rejected")).to_be_visible()
    assert gui.barriers() == []


def test_how_a_host_joins_is_ready_to_be_copied(gui: Gui, up: Up) -> None:
    gui.log_in("/hosts")
    gui.page.get_by_role("button", name="Add a host").click()
    command = f"oms agent --server https://127.0.0.1:{up.port} --ca-sha256 {up.shown('CA fingerprint')}"
    expect(gui.page.get_by_role("dialog")).to_contain_text(command)
    assert gui.barriers() == []
