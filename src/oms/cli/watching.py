"""`--watch`: an answer that is shown again whenever it is another, until Ctrl-C.

OMS says when something happens. What it does not say of, as a guest's load, is asked for every few seconds where
it was asked for, and else now and then.
"""

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
from oms.client import Client, ClientError, OutOfReach
from oms.contract.decode import Decoded
from oms.contract.errors import HostUnavailable, OmsError
from oms.contract.operation import HostOperation

MEASURED_SECONDS = 2.0
SELDOM_SECONDS = 30.0
AT_MOST_EVERY_SECONDS = 0.5


def run(asked: Decoded, profile: Profile) -> None:
    """Show it until Ctrl-C. What is away for a while is said, and asked for again."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(asked, profile))


async def _watch(asked: Decoded, profile: Profile) -> None:
    console = Console(highlight=False)
    async with profile.client() as client:
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            happens = asyncio.Event()
            hearing = asyncio.create_task(_hear(client, asked.host, happens))
            before: Any = None
            try:
                while True:
                    happens.clear()
                    now = await _shown(client, asked)
                    if now != before:
                        live.update(_drawn(now, console), refresh=True)
                    before = now
                    await asyncio.sleep(AT_MOST_EVERY_SECONDS)
                    await asyncio.wait((asyncio.ensure_future(happens.wait()),), timeout=_patience(asked))
            finally:
                hearing.cancel()


async def _hear(client: Client, host: str, happens: asyncio.Event) -> None:
    """Tell of everything that happens there. Whoever may not hear it sees it a little later."""
    with contextlib.suppress(OmsError, ClientError):
        async for _ in client.events(host=host):
            happens.set()


def _patience(asked: Decoded) -> float:
    """How long to wait where nothing is heard of."""
    facts = asked.op.facts
    measured = facts.varargs and getattr(asked.op, facts.params[-1].name)
    return MEASURED_SECONDS if measured or facts.service.name == "statsservices" else SELDOM_SECONDS


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
    parts = table.parts(output.for_people(now), console)
    return Group(*parts) if parts else Text(output.NOTHING)
