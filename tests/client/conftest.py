"""A whole server behind a door of its own, for clients to call."""

import logging

import pytest

from tests.server.door import door
from tests.server.fixtures import database, folder, no_task_breaks_unseen, oms, seed

__all__ = ["database", "door", "folder", "no_task_breaks_unseen", "oms", "seed"]


@pytest.fixture(autouse=True)
def quiet() -> None:
    """A client that goes away is no news."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
