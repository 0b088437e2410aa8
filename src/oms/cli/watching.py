"""`--watch`: an answer that is shown again whenever it is another, until Ctrl-C.

OMS says when something happens. What it does not say of, as a guest's load, is asked for every few seconds where
it was asked for, and else now and then. What was shown last stays while OMS or the host is away.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from oms.cli import output, suggesting, table
from oms.cli.failures import sentence
from oms.cli.output import Form
from oms.cli.profiles import Profile
from oms.client import Client, ClientError
from oms.contract.decode import Decoded
from oms.contract.errors import AuthError, OmsError, PermissionDenied
from oms.contract.operation import HostOperation

MEASURED_SECONDS = 2.0
SELDOM_SECONDS = 10.0
AT_MOST_EVERY_SECONDS = 0.5


def run(asked: Decoded, profile: Profile, title: str, form: Form) -> None:
    """Show it until Ctrl-C: on a terminal a table that fills it, else each answer in its form, one after another.

    What is wrong at first is raised; later what is away is said, and asked for again.
    """
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(asked, profile, title, form))


async def _watch(asked: Decoded, profile: Profile, title: str, form: Form) -> None:
    async with profile.client() as client:
        try:
            first = await _answer(client, asked)
        except OmsError as wrong:
            raise await suggesting.explained(client, wrong, asked) from None
        happens = asyncio.Event()
        hearing = asyncio.create_task(_hear(client, asked.host, happens))
        try:
            with _shown(title, form) as shown:
                shown.answer(first)
                await _go_on(client, asked, happens, shown)
        finally:
            hearing.cancel()


async def _go_on(client: Client, asked: Decoded, happens: asyncio.Event, shown: "_Shown") -> None:
    patience = usual = _patience(asked)
    while True:
        await asyncio.sleep(AT_MOST_EVERY_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(happens.wait(), patience)
        happens.clear()
        try:
            shown.answer(await _answer(client, asked))
            patience = usual
        except (AuthError, PermissionDenied):
            raise
        except (OmsError, ClientError) as away:
            shown.away(sentence(away))
            patience = MEASURED_SECONDS


async def _hear(client: Client, host: str, happens: asyncio.Event) -> None:
    """Tell of everything that happens there. Whoever may not hear it sees it a little later."""
    with contextlib.suppress(OmsError, ClientError):
        events = client.events(host=host)
        await events.begin()
        happens.set()  # something may have happened before
        async for _ in events:
            happens.set()


def _patience(asked: Decoded) -> float:
    """How long to wait where nothing is heard of."""
    facts = asked.op.facts
    measured = facts.varargs and getattr(asked.op, facts.params[-1].name)
    return MEASURED_SECONDS if measured or facts.service.name == "statsservices" else SELDOM_SECONDS


async def _answer(client: Client, asked: Decoded) -> Any:
    op: Any = asked.op
    if isinstance(op, HostOperation):
        answer: Any = await client.call(op, host=asked.host, cache_timeout=asked.cache_timeout)
    else:
        answer = await client.call(op, cache_timeout=asked.cache_timeout)
    return msgspec.to_builtins(answer)


# --- where it is shown


class _Shown(Protocol):
    def answer(self, now: Any) -> None:
        """It is so now."""

    def away(self, why: str) -> None:
        """There is no answer just now."""


@contextlib.contextmanager
def _shown(title: str, form: Form) -> Iterator[_Shown]:
    console = Console(highlight=False)
    if form != "table" or not console.is_terminal:
        yield _InTurn(form)
        return
    screen = _Screen(title)
    with Live(screen, console=console, screen=True, auto_refresh=False) as screen.live:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, screen.live.refresh)
        try:
            yield screen
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)


class _InTurn:
    """One answer after the other."""

    def __init__(self, form: Form) -> None:
        self._form, self._why = form, ""
        self._before: Any = None

    def answer(self, now: Any) -> None:
        if now != self._before:
            output.show(now, self._form)
            sys.stdout.flush()
        self._before, self._why = now, ""

    def away(self, why: str) -> None:
        if why != self._why:
            print(why, file=sys.stderr)
        self._why = why


class _Screen:
    """What fills a terminal: a title, what is wrong just now, and as much of the answer as has room."""

    live: Live

    def __init__(self, title: str) -> None:
        self._title, self._since, self._why = title, "", ""
        self._now: Any = []

    def answer(self, now: Any) -> None:
        self._now, self._since, self._why = now, f"{datetime.now(UTC):%H:%M:%S} UTC", ""
        self.live.refresh()

    def away(self, why: str) -> None:
        self._why = why
        self.live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = Table.grid(Column(ratio=1, no_wrap=True), Column(no_wrap=True), expand=True, padding=(0, 1))
        head.add_row(Text(self._title, "bold"), Text(self._since))
        room = options.height or console.height
        rows = output.for_people(self._now)
        parts: list[Any] = [*table.parts(rows._replace(rows=rows.rows[:room]), console)] or [Text(output.NOTHING)]
        shown = Group(head, Text(self._why, "yellow"), *parts)
        lines = console.render_lines(shown, options.update(height=None), pad=False)
        if len(lines) > room:
            more = Text(f"… {len(rows.rows)} rows in all: the window is too low for them", "dim")
            lines = [*lines[: room - 1], *console.render_lines(more, options.update(height=None), pad=False)]
        for line in lines:
            yield from line
            yield Segment.line()
