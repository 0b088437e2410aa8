"""A real browser: Debian's Chromium, without a window, driven by Playwright."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import BrowserContext, sync_playwright

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",  # tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browser(width: int = 900, height: int = 620) -> Iterator[BrowserContext]:
    """One with nothing in it yet. It takes OMS's own certificate, as a person does who has looked at it."""
    with tempfile.TemporaryDirectory(prefix="oms-browser-") as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=list(QUIET),
            ignore_https_errors=True,
            viewport={"width": width, "height": height},
        )
        try:
            yield context
        finally:
            context.close()
