"""The fixtures of the rig, for every folder that wants them."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.server.rig import Oms, Seed


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    """Made once for the run."""
    return Seed.make(tmp_path_factory.mktemp("seed"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory. Not tmp_path: a socket's path has 107 bytes, and a long test name would eat them."""
    with tempfile.TemporaryDirectory(prefix="oms-") as name:
        yield Path(name)


@pytest.fixture
async def oms(seed: Seed, folder: Path) -> AsyncIterator[Oms]:
    """A running server with the users admin, operator and viewer."""
    async with Oms(seed, folder) as running:
        yield running


@pytest.fixture(autouse=True)
def no_task_breaks_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A task in the background that ends with an error nobody looks at is a defect, whatever the test looks at."""
    yield
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    assert [record.getMessage() for record in records if record.name == "asyncio"] == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server asks for its open jobs all the time, and closes what is late at once."""
    monkeypatch.setattr("oms.server.jobs.ASK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr("oms.server.jobs.EXPIRY_SLACK_SECONDS", 0.0)
