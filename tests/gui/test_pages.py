"""Jobs, people, the audit log, the overview: whole pages before a real OMS."""

import pytest
from playwright.sync_api import expect

from tests.gui.gui import Gui

PAGES = {
    "/": "Overview",
    "/jobs": "Jobs",
    "/people": "People",
    "/people?tab=sessions": "People",
    "/people?tab=tokens": "People",
    "/audit": "Audit log",
    "/account": "Own account",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_usable_by_everybody_wide_and_narrow(gui: Gui, scheme: str) -> None:
    gui.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    gui.log_in("/")
    gui.heading("Overview")
    for width in (1280, 400):
        gui.page.set_viewport_size({"width": width, "height": 800})
        for path, title in PAGES.items():
            gui.open(path)
            gui.heading(title)
            gui.loaded()
            assert gui.barriers() == [], (path, width)
            sticks_out = gui.in_browser("document.documentElement.scrollWidth > innerWidth")
            assert not sticks_out, (path, width)


def test_a_user_is_added_changed_and_deleted(gui: Gui) -> None:
    gui.log_in("/people")
    gui.page.get_by_role("button", name="Add a user").click()
    dialog = gui.page.get_by_role("dialog")
    assert gui.barriers() == []
    dialog.get_by_label("Name").fill("bad name!")
    dialog.get_by_label("First password").fill("short")
    dialog.get_by_role("button", name="Add a user").click()
    expect(dialog.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Name").fill("bert")
    dialog.get_by_role("button", name="Invent one").click()
    dialog.get_by_label("Operator").check()
    dialog.get_by_role("button", name="Add a user").click()
    row = gui.page.get_by_role("row").filter(has_text="bert")
    expect(row).to_contain_text("Operator")
    expect(row).to_contain_text("has to choose a password")
    row.get_by_role("button", name="Actions for bert").click()
    gui.page.get_by_role("menuitem", name="Change the role").click()
    gui.page.get_by_role("dialog").get_by_label("Viewer").check()
    gui.page.get_by_role("dialog").get_by_role("button", name="Change the role").click()
    expect(row).to_contain_text("Viewer")
    row.get_by_role("button", name="Actions for bert").click()
    gui.page.get_by_role("menuitem", name="Delete").click()
    gui.page.get_by_role("dialog").get_by_role("button", name="Delete the account").click()
    expect(row).to_have_count(0)


def test_a_token_is_shown_once_and_taken_back(gui: Gui) -> None:
    gui.log_in("/account")
    gui.page.get_by_role("button", name="Make a token").click()
    dialog = gui.page.get_by_role("dialog")
    dialog.get_by_label("What it is for").fill("nightly backup")
    dialog.get_by_role("button", name="Make the token").click()
    expect(dialog).to_contain_text("the only time")
    token = dialog.locator("pre").text_content() or ""
    assert gui.in_browser(WHOAMI.replace("TOKEN", token.strip())) == "admin"
    dialog.get_by_role("button", name="I have kept it").click()
    row = gui.page.get_by_role("row").filter(has_text="nightly backup")
    expect(row).to_be_visible()
    assert token.strip() not in gui.page.content()
    row.get_by_role("button", name="Actions for nightly backup").click()
    gui.page.get_by_role("menuitem", name="Take back").click()
    gui.page.get_by_role("dialog").get_by_role("button", name="Take it back").click()
    expect(row).to_have_count(0)


WHOAMI = """async () => (await (await fetch("/", { method: "POST", body: JSON.stringify({ jsonrpc: "2.0", id: 1,
  method: "userservices.whoami", params: { SESSID: "TOKEN", cache_timeout: 0 } }) })).json()).result.result.name"""


def test_the_audit_log_is_searched_by_what_the_address_says(gui: Gui) -> None:
    gui.log_in("/audit")
    gui.heading("Audit log")
    gui.page.get_by_label("Method").fill("authservices.authenticate")
    gui.page.get_by_role("button", name="Show", exact=True).click()
    rows = gui.page.get_by_role("row").filter(has_text="authservices.authenticate")
    expect(rows.first).to_be_visible()
    expect(gui.page.get_by_role("row").filter(has_text="userservices.")).to_have_count(0)
    assert "method=authservices.authenticate" in gui.page.url
    rows.first.get_by_role("button").first.click()
    expect(rows.first).to_contain_text("•••")
