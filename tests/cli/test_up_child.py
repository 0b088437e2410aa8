"""What `oms up` starts ends with it, whatever state it is in."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from oms.cli import up


async def test_a_process_that_hangs_is_killed_when_it_is_told_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "END_SECONDS", 0.2)
    listens = tmp_path / "signer.sock"
    signer = ["signer", "--directory", str(tmp_path / "ca"), "--socket", str(listens)]
    child = up.Child("signer", [*up.OMS, *signer], {})
    keeping = asyncio.create_task(child.keep())
    async with asyncio.timeout(60):
        while not listens.exists():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)
    process = child._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    # Were both signals there before it runs again, it would take the one that ends it first.
    stat = Path(f"/proc/{process.pid}/stat")
    async with asyncio.timeout(60):
        while stat.read_text().rpartition(")")[2].split()[0] != "T":  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert process.returncode == -signal.SIGKILL
