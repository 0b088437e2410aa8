"""Jobs, the audit log, the overview: whole pages before a real OMS."""

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
