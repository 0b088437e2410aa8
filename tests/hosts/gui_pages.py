"""What tests of whole pages share: pictures of them, and how a row says something."""

import os

from playwright.sync_api import Locator, Page, expect

from tests.waiting import until

NEAR = 12
"""Pixels."""
LOOKED_AT = os.environ.get("OMS_SCREENSHOTS", "")
"""A directory for pictures of every page, for whoever wants to look at them."""


def look(page: Page, name: str) -> None:
    """Keep pictures of the page in both themes, and narrow."""
    if not LOOKED_AT:
        return
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(500)  # colours fade
        page.screenshot(path=f"{LOOKED_AT}/{name}-{theme}.png")
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_timeout(500)
    page.screenshot(path=f"{LOOKED_AT}/{name}-narrow.png")
    page.set_viewport_size({"width": 1280, "height": 800})


def state(page: Page, name: str, said: str) -> None:
    """Wait until the row of something says that."""
    expect(page.get_by_role("row", name=name).get_by_text(said, exact=True)).to_be_visible(timeout=60_000)


def choose(page: Page, of: str, action: str) -> None:
    """Of the menu of something, which opens beside its button."""
    button = page.get_by_role("button", name=f"Actions for {of}")
    button.click()
    item = page.get_by_role("menuitem", name=action)
    until(lambda: _are_near(button, page.get_by_role("menu").filter(has=item)))
    item.click()


def _are_near(button: Locator, menu: Locator) -> bool:
    one, other = button.bounding_box(), menu.bounding_box()
    if one is None or other is None:
        return False
    beside = abs(one["x"] + one["width"] - other["x"] - other["width"]) < NEAR
    below = abs(one["y"] + one["height"] - other["y"]) < NEAR
    above = abs(one["y"] - other["y"] - other["height"]) < NEAR
    return beside and (below or above)


def dialog(page: Page, heading: str) -> Locator:
    """The dialog that asks for something."""
    return page.get_by_role("dialog", name=heading)
