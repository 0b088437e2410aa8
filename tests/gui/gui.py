"""A tab of the GUI, as a person has it."""

import contextlib
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Error, Page, Response, expect

PASSWORD = "correct horse battery staple"
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
STILL = """() => Promise.all(document.getAnimations()
  .filter((it) => it.effect?.getTiming().iterations !== Infinity)
  .map((it) => it.finished.catch(() => undefined)))"""
FOUND = """async () => (await axe.run({ resultTypes: ["violations"] })).violations
  .filter(({ impact }) => impact === "serious" || impact === "critical")
  .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join("; ")}`)"""


class NetworkChanged(Exception):
    """The machine's network is another than when the page began to load."""


class Gui:
    """`complaints` are what the browser says is wrong: errors, and what the page's policy forbids."""

    def __init__(self, port: int, page: Page) -> None:
        """`port`: where OMS listens."""
        self._port, self.page = port, page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(f"{message.location['url'] or 'a script of the test'}: {message.text}")

    def open(self, path: str = "/") -> Response:
        """Go to a page by its address."""
        response = None
        while response is None:
            # Chromium breaks off what it loads when any network interface of the machine comes or goes.
            with contextlib.suppress(NetworkChanged):
                response = self._gone_to(f"https://127.0.0.1:{self._port}/ui{path}")
        return response

    def _gone_to(self, address: str) -> Response:
        try:
            response = self.page.goto(address)
        except Error as failure:
            if "ERR_NETWORK_CHANGED" in failure.message:
                raise NetworkChanged from failure
            raise
        assert response is not None
        return response

    def log_in(self, path: str = "/", user: str = "admin", password: str = PASSWORD) -> None:
        """Log in on the way to a page."""
        self.open(path)
        self.page.get_by_label("User").fill(user)
        self.page.get_by_label("Password", exact=False).first.fill(password)
        self.page.get_by_role("button", name="Log in").click()

    def heading(self, name: str) -> None:
        """Wait until a page is there."""
        expect(self.page.get_by_role("heading", name=name, level=1)).to_be_visible()

    def loaded(self) -> None:
        """Wait until nothing of the page is on its way any more."""
        expect(self.page.get_by_role("progressbar", name="Loading")).to_have_count(0)
        expect(self.page.locator(".pf-v6-c-skeleton")).to_have_count(0)
        self.page.evaluate("document.fonts.ready.then(() => undefined)")

    def barriers(self) -> list[str]:
        """What keeps people from using the page as it is now, of what axe calls serious or worse."""
        self.page.evaluate(STILL)  # what is just fading in has no contrast yet
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: list[str] = self.page.evaluate(FOUND)
        return found

    def in_browser(self, script: str) -> Any:
        """What a piece of JavaScript gives."""
        return self.page.evaluate(script)
