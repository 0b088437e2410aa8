"""The fixtures of the rig, for every folder that wants them."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.server import postgresql
from tests.server.postgresql import Cluster
from tests.server.rig import Oms, Seed, populate


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    """Made once for the run."""
    return Seed.make(tmp_path_factory.mktemp("seed"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory. Not tmp_path: a socket's path has 107 bytes, and a long test name would eat them."""
    with tempfile.TemporaryDirectory(prefix="oms-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL for the run."""
    with postgresql.running() as made:
        yield made


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    """The name of a database there that a rig can begin from."""
    made = cluster.made()
    populate(made)
    return postgresql.name_of(made)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The setting: empty for SQLite. A module whose tests run on PostgreSQL too says so: `DATABASES = BOTH`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield ""
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    made = cluster.made(request.getfixturevalue("template"))
    yield made
    cluster.dropped(made)


def on_each_database(metafunc: pytest.Metafunc) -> None:
    """A hook of pytest's, for the folders that have the fixture `database`."""
    if "database" in metafunc.fixturenames and (wanted := getattr(metafunc.module, "DATABASES", ())):
        metafunc.parametrize("database", wanted, indirect=True)


@pytest.fixture
async def oms(seed: Seed, folder: Path, database: str) -> AsyncIterator[Oms]:
    """A running server with the users admin, operator and viewer."""
    async with Oms(seed, folder, database=database) as running:
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
