"""Into the GUI, around in it, and out of it."""

import secrets

import pytest
from playwright.sync_api import Route, expect

from tests.cli.served import Up
from tests.gui.gui import PASSWORD, Gui

FIRST_LOAD_BYTES = 400_000
LOADED = """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""


def test_a_deep_link_leads_through_the_login_to_its_page(gui: Gui) -> None:
    response = gui.open("/jobs?state=failed")
    assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style")
    assert "unsafe" not in response.headers["content-security-policy"]
    expect(gui.page).to_have_title("Log in · OMS")
    assert gui.barriers() == []
    gui.page.get_by_label("User").fill("admin")
    gui.page.get_by_label("Password", exact=False).first.fill("a wrong one")
    gui.page.keyboard.press("Enter")
    expect(gui.page.get_by_text("not valid")).to_be_visible()
    gui.page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    gui.page.keyboard.press("Enter")
    gui.heading("Jobs")
    assert gui.page.url.endswith("/ui/jobs?state=failed")
    expect(gui.page).to_have_title("Jobs · OMS")
    assert gui.in_browser("document.cookie") == ""
    gui.page.reload()
    gui.heading("Jobs")


def test_the_first_password_opens_nothing_but_the_form_for_another(gui: Gui, up: Up) -> None:
    name, given = f"u{secrets.token_hex(4)}", "given by somebody else"
    admin = up.log_in(PASSWORD)
    admin.call("userservices", "add_user", admin.sessid, 0, name, given, "viewer")
    gui.log_in("/hosts", name, given)
    gui.heading("Choose a password")
    assert gui.barriers() == []
    gui.page.get_by_label("Password so far").fill(given)
    for chosen in ("password1234", "a song of nine geese"):
        gui.page.get_by_label("New password", exact=False).first.fill(chosen)
        gui.page.get_by_label("New password, again").fill(chosen)
        gui.page.get_by_role("button", name="Change the password").click()
        if chosen == "password1234":
            expect(gui.page.get_by_label("New password", exact=False).first).to_have_attribute(
                "aria-invalid", "true"
            )
    gui.heading("Hosts")
    pages = gui.page.get_by_role("navigation", name="Pages")
    expect(pages.get_by_role("link", name="Guests")).to_be_visible()
    expect(pages.get_by_role("link", name="People")).to_have_count(0)


def test_a_session_that_ended_elsewhere_leads_to_the_login_and_back(gui: Gui, up: Up) -> None:
    gui.log_in("/hosts")
    gui.heading("Hosts")
    admin = up.log_in(PASSWORD)
    admin.call("userservices", "end_sessions", admin.sessid, 0, "admin")
    expect(gui.page.get_by_text("Your session has ended")).to_be_visible()
    gui.page.get_by_label("User").fill("admin")
    gui.page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    gui.page.keyboard.press("Enter")
    gui.heading("Hosts")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_frame_is_usable_in_both_themes_and_by_keyboard(gui: Gui, theme: str) -> None:
    gui.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    gui.log_in("/")
    gui.heading("Overview")
    assert gui.in_browser("document.documentElement.classList.contains('pf-v6-theme-dark')") == (theme == "dark")
    assert gui.barriers() == []
    gui.page.reload()
    gui.heading("Overview")
    gui.page.keyboard.press("Tab")
    expect(gui.page.get_by_role("link", name="Skip to the page")).to_be_focused()
    gui.page.get_by_role("button", name="admin: account and look").click()
    assert gui.barriers() == []
    other = "Light" if theme == "dark" else "Dark"
    gui.page.get_by_role("menuitem", name=other).click()
    assert gui.in_browser("document.documentElement.classList.contains('pf-v6-theme-dark')") == (other == "Dark")
    gui.in_browser("localStorage.clear()")


def test_an_address_without_a_page_says_so_within_the_frame(gui: Gui) -> None:
    gui.log_in("/nothing/here")
    gui.heading("There is no such page")
    expect(gui.page.get_by_role("navigation", name="Pages")).to_be_visible()


def test_a_page_whose_stylesheets_were_lost_on_the_way_is_loaded_anew(gui: Gui) -> None:
    lost = set[str]()

    def lose_once(route: Route) -> None:
        if route.request.url in lost:
            route.continue_()
        else:
            lost.add(route.request.url)
            route.abort()

    gui.page.route("**/*.css", lose_once)
    gui.open("/")
    gui.heading("Log in")
    assert lost
    gui.page.wait_for_function("[...document.styleSheets].every((sheet) => sheet.cssRules.length > 0)")
    assert gui.barriers() == []
    gui.complaints.clear()  # of those that were lost


def test_the_first_load_is_small(gui: Gui) -> None:
    gui.log_in("/")
    gui.heading("Overview")
    gui.loaded()
    assert 100_000 < gui.in_browser(LOADED) < FIRST_LOAD_BYTES
