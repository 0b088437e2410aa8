"""`oms recording`: what a console said, piece by piece to the standard output."""

import asyncio
import sys

import typer

from oms.cli import profiles
from oms.cli.failures import said
from oms.cli.words import understood
from oms.contract.console import ReadRecording
from oms.contract.errors import CallError


def run(recording: str) -> None:
    """All that there is of it now."""
    if sys.stdout.isatty():
        raise typer.BadParameter("This is for a file or a player, not for a terminal: `oms recording ID > FILE`.")
    try:
        understood(ReadRecording.facts.wire, [recording])
    except CallError as wrong:
        raise typer.BadParameter(wrong.message) from None
    with said("recording"):
        asyncio.run(_written(recording))


async def _written(recording: str) -> None:
    at, size = 0, 1
    async with profiles.logged_in().client() as client:
        while at < size:
            piece = await client.call(ReadRecording(recording, at))
            at, size = piece.next, piece.bytes
            sys.stdout.buffer.write(piece.text.encode())
