"""What holds for every test."""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import settings

from tests.surroundings import plain

settings.register_profile("oms", deadline=None)  # how long an example takes says nothing of what it shows
settings.load_profile("oms")
PAGE = "the page at"
LONG = ("tests/hosts/", "tests/security/", "tests/cli/", "tests/bus/nats/", "tests/gui/")
"""Where files take long, with real machines, containers, browsers. They begin first, so that the short ones
fill what is left."""


def pytest_configure(config: pytest.Config) -> None:
    """The same surroundings for everybody; a worker has them from who started it."""
    for name in ("COLUMNS", "LINES"):  # readline sets them unseen, for what is started
        os.environ.pop(name, None)
    if not hasattr(config, "workerinput"):
        ends = ExitStack()
        ends.enter_context(plain())
        config.add_cleanup(ends.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, otherwise as they were. What fails is tried once more, and named at the end: with real
    processes, disks and clocks a loaded machine may stall for longer than any test should wait."""
    items.sort(
        key=lambda item: next((n for n, front in enumerate(LONG) if item.nodeid.startswith(front)), len(LONG))
    )
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=5))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a browser showed when a test of the GUI failed."""
    report = yield
    gui = getattr(item, "funcargs", {}).get("gui")
    if gui is not None and report.when == "call" and report.failed:
        with suppress(Exception):  # it may be the browser that failed
            report.sections.append((f"{PAGE} {gui.page.url}", gui.page.inner_text("body", timeout=2000)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why something had to be tried again: it may be a race of what is tested."""
    again = terminalreporter.getreports("rerun")
    if again:
        terminalreporter.section("failed at first")
    for report in again:
        terminalreporter.line(f"{report.nodeid}\n    {str(report.longreprtext).strip()[-1500:]}")
        for title, text in report.sections:
            if title.startswith(PAGE):
                terminalreporter.line(f"{title}\n{text}")


@pytest.fixture(scope="session", autouse=True)
def log_of_this_process() -> Iterator[None]:
    """A command that is run within a test leaves the log as it is.

    Where that test's log went to is closed when it ends, and whoever logs in a later one would break by it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oms.cli.logs.set_up", lambda *_: None)
        yield


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """An empty directory of images."""
    directory = tmp_path / "images"
    directory.mkdir()
    return directory
