"""A whole server for the tests of an agent's way in, behind a door of its own."""

import logging

import pytest

from oms.agent import enrol
from tests.server.door import door
from tests.server.fixtures import database, folder, oms, seed

__all__ = ["database", "door", "folder", "oms", "seed"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits to be let in asks again at once."""
    for name in ("ASK_SECONDS", "ASK_SLOWLY_SECONDS", "RENEW_AGAIN_SECONDS"):
        monkeypatch.setattr(enrol, name, 0.03)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
