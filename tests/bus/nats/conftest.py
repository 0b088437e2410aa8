from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bus.nats.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A running nats-server, its certificate authorities, and an empty database."""
    async with Rig(tmp_path) as rig:
        yield rig
