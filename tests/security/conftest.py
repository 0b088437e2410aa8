"""A whole server for each test: in this process, behind its real socket, or as the processes that it really is."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.conftest import libvirtd, real_parts
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.security.served import Served
from tests.security.watched import Watched
from tests.server.fixtures import database, folder, no_task_breaks_unseen, oms, seed
from tests.server.rig import Seed

__all__ = ["database", "folder", "libvirtd", "no_task_breaks_unseen", "oms", "real_parts", "seed"]


@pytest.fixture
def served(seed: Seed, folder: Path) -> Iterator[Served]:
    """A server behind its real HTTPS socket."""
    with Served(seed, folder) as running:
        yield running


@pytest.fixture(scope="session")
def watched(libvirtd: PrivateLibvirtd) -> Iterator[Watched]:
    """All of OMS's processes, over a libvirtd of their own, with every program that they start written down.

    One for the whole run: whoever removes or restarts something brings it back.
    """
    with tempfile.TemporaryDirectory(prefix="oms-") as directory, Watched(Path(directory), libvirtd) as running:
        yield running
