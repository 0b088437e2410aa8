"""`--watch`: an answer that is shown again whenever it is another, until Ctrl-C."""

import asyncio
import contextlib
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from oms.cli import output, table
from oms.cli.failures import sentence
from oms.cli.profiles import Profile
from oms.client import Client, OutOfReach
from oms.contract.decode import Decoded
from oms.contract.errors import HostUnavailable
from oms.contract.operation import HostOperation

SECONDS = 2.0


def run(asked: Decoded, profile: Profile) -> None:
    """Show it until Ctrl-C. What is away for a while is said, and asked for again."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(asked, profile))


async def _watch(asked: Decoded, profile: Profile) -> None:
    console = Console(highlight=False)
    async with profile.client() as client:
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            before: Any = None
            while True:
                now = await _shown(client, asked)
                if now != before:
                    live.update(_drawn(now, console), refresh=True)
                before = now
                await asyncio.sleep(SECONDS)


async def _shown(client: Client, asked: Decoded) -> Any:
    """The answer, or the sentence that says why there is none just now."""
    op: Any = asked.op
    try:
        if isinstance(op, HostOperation):
            answer: Any = await client.call(op, host=asked.host, cache_timeout=asked.cache_timeout)
        else:
            answer = await client.call(op, cache_timeout=asked.cache_timeout)
    except (HostUnavailable, OutOfReach) as away:
        return sentence(away)
    return msgspec.to_builtins(answer)


def _drawn(now: Any, console: Console) -> Any:
    if isinstance(now, str):
        return Text(now, "yellow")
    return Group(*table.parts(output.for_people(output.rows(now)), console))
