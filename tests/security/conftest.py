"""A whole server for each test: in this process, behind its real socket, or as the processes it really is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.served import Served
from tests.server.fixtures import folder, no_task_breaks_unseen, oms, seed
from tests.server.rig import Seed

__all__ = ["folder", "no_task_breaks_unseen", "oms", "seed"]


@pytest.fixture
def served(seed: Seed, folder: Path) -> Iterator[Served]:
    """A server behind its real HTTPS socket."""
    with Served(seed, folder) as running:
        yield running
