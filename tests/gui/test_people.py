"""People: accounts, sessions, tokens, one's own password, and a session that an open page does not keep alive."""

import contextlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Request, expect

from tests.cli.served import Up
from tests.gui.gui import PASSWORD, Gui
from tests.hosts.stack import Caller, CallFailed
from tests.waiting import until

OTHERS = "the old words of berta"


@pytest.fixture
def admin(up: Up) -> Caller:
    return up.log_in(PASSWORD)


@pytest.fixture
def berta(up: Up, admin: Caller) -> Iterator[Caller]:
    """Somebody else, who has chosen a password and is logged in."""
    users(admin, "add_user", "berta", "a first password", "operator")
    caller = up.log_in("a first password", "berta")
    users(caller, "change_password", "a first password", OTHERS)
    yield up.log_in(OTHERS, "berta")
    with contextlib.suppress(CallFailed):
        users(admin, "delete_user", "berta")


def users(caller: Caller, method: str, *params: object) -> object:
    return caller.call("userservices", method, caller.sessid, 0, *params)


def is_in(caller: Caller) -> bool:
    with contextlib.suppress(CallFailed):
        users(caller, "whoami")
        return True
    return False


BELOW = """() => {
  const [button] = document.querySelectorAll("tbody button[aria-expanded=true]");
  const [menu] = document.querySelectorAll(".pf-v6-c-menu");
  if (!button || !menu) return false;
  const [one, other] = [button.getBoundingClientRect(), menu.getBoundingClientRect()];
  return Math.abs(one.bottom - other.top) < 20 && Math.abs(one.right - other.right) < 20;
}"""


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
    gui.page.wait_for_function(BELOW)
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


def test_sessions_and_tokens_of_somebody_are_ended(gui: Gui, up: Up, berta: Caller) -> None:
    token = users(berta, "create_token", "reports", "viewer", 30)
    assert isinstance(token, dict)
    program = up.bearing(str(token["token"]))
    assert is_in(program)
    gui.log_in("/people")
    gui.heading("People")
    gui.page.get_by_role("tab", name="Sessions").click()
    row = gui.page.get_by_role("row").filter(has_text="berta")
    expect(row.first).to_be_visible()
    assert gui.barriers() == []
    while is_in(berta):
        before = row.count()
        row.first.get_by_role("button", name="End the session of berta").click()
        expect(row).to_have_count(before - 1)
    gui.page.get_by_role("tab", name="Tokens").click()
    tokens = gui.page.get_by_role("row").filter(has_text="reports")
    expect(tokens).to_contain_text("Viewer")
    tokens.get_by_role("button", name="Actions for reports").click()
    gui.page.get_by_role("menuitem", name="Take back").click()
    assert gui.barriers() == []
    gui.page.get_by_role("dialog").get_by_role("button", name="Take it back").click()
    expect(tokens).to_have_count(0)
    until(lambda: not is_in(program))  # the question still stood before the list


def test_ones_own_password_is_changed(gui: Gui, up: Up, berta: Caller) -> None:
    gui.log_in("/account", "berta", OTHERS)
    gui.heading("Own account")
    fields = [gui.page.locator(f"#{name}") for name in ("old", "new", "again")]

    def change(*words: str) -> None:
        for field, word in zip(fields, words, strict=True):
            field.fill(word)
        gui.page.get_by_role("button", name="Change the password").click()

    change(OTHERS, "the new words of berta", "something else again")
    expect(fields[2]).to_have_attribute("aria-invalid", "true")
    change("not the old words", "the new words of berta", "the new words of berta")
    expect(fields[0]).to_have_attribute("aria-invalid", "true")
    assert gui.barriers() == []
    assert is_in(up.log_in(OTHERS, "berta"))
    change(OTHERS, "the new words of berta", "the new words of berta")
    expect(fields[0]).to_have_value("")
    assert is_in(up.log_in("the new words of berta", "berta"))
    with pytest.raises(CallFailed):
        up.log_in(OTHERS, "berta")


def test_a_page_that_follows_events_does_not_keep_its_session(gui: Gui, admin: Caller) -> None:
    gui.log_in("/people")
    row = gui.page.get_by_role("row").filter(has_text="carl")
    gui.heading("People")
    gui.loaded()
    asked: list[Request] = []
    gui.page.on("request", lambda request: asked.append(request) if request.method == "POST" else None)
    users(admin, "add_user", "carl", "a first password", "viewer")
    expect(row).to_be_visible()
    assert asked
    assert {request.headers.get("oms-unattended") for request in asked} == {"1"}
    asked.clear()
    row.get_by_role("button", name="Actions for carl").click()
    gui.page.get_by_role("menuitem", name="Delete").click()
    gui.page.get_by_role("dialog").get_by_role("button", name="Delete the account").click()
    expect(row).to_have_count(0)
    assert any("oms-unattended" not in request.headers for request in asked)
