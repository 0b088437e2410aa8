"""What holds for every test."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("oms", deadline=None)  # how long an example takes says nothing of what it shows
settings.load_profile("oms")


@pytest.fixture(scope="session", autouse=True)
def log_of_this_process() -> Iterator[None]:
    """A command that is run within a test leaves the log as it is.

    Where that test's log went to is closed when it ends, and whoever logs in a later one would break by it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oms.cli.logs.set_up", lambda *_: None)
        yield
