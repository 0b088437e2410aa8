"""A client that asks so many times a second, however long the answers take.

Each call has its moment, and its time counts from that moment on: a server that stands still for a second is seen
by the hundred calls that should have been answered in it, and not by the one that was on its way.
"""

import asyncio
import random
import ssl
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

from bench.load import call

CONNECTIONS = 64


@dataclass
class Asked:
    """What came of it, by kind of call: milliseconds of each answer, and what went wrong."""

    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def quantile(self, kind: str, hundredth: int) -> float:
        """Milliseconds; NaN where nothing was answered."""
        took = sorted(self.took[kind])
        return statistics.quantiles(took, n=100)[hundredth - 1] if len(took) > 1 else float("nan")


Kind = tuple[str, str, str, tuple[object, ...]]
"""What to call it, and what is asked: service, method, parameters after the session."""


class Line:
    """One connection, kept, for one call at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, body: bytes) -> bytes:
        """The answer's body."""
        if self._writer is None or self._writer.is_closing():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=context)
        assert self._reader is not None
        head = (
            f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        self._writer.write(head.encode() + b"\r\n\r\n" + body)
        answered = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in answered.split(b"\r\n")
            if line.lower().startswith(b"content-l")
        )
        return await self._reader.readexactly(length)


class Single:
    """A connection for one caller, who waits for each answer."""

    def __init__(self, port: int) -> None:
        self._loop, self._line = asyncio.Runner(loop_factory=uvloop.new_event_loop), Line(port)

    def __enter__(self) -> "Single":
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.close()

    def ask(self, service: str, method: str, *params: object) -> bytes:
        """The text of an answer that is no error."""
        answer = self._loop.run(self._line.ask(call(service, method, *params).encode()))
        assert is_good(answer), answer[:200]
        return answer


def is_good(answer: bytes) -> bool:
    """Whether it is no error."""
    return b'"error":null' in answer[:40] or b'"error":null' in answer[-400:]


def run(
    port: int, sessions: Sequence[str], kinds: Sequence[tuple[int, Sequence[Kind]]], rate: int, seconds: float
) -> Asked:
    """Ask `rate` times a second; each of the kinds has a weight, and is asked of any of its examples."""
    return uvloop.run(_run(port, sessions, kinds, rate, seconds))


async def _run(
    port: int, sessions: Sequence[str], kinds: Sequence[tuple[int, Sequence[Kind]]], rate: int, seconds: float
) -> Asked:
    asked, lines = Asked(), asyncio.Queue[Line]()
    for _ in range(CONNECTIONS):
        lines.put_nowait(Line(port))
    chance, weights = random.Random(1), [weight for weight, _ in kinds]
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0, due - time.perf_counter()))
            ((_, examples),) = chance.choices(kinds, weights)
            tasks.create_task(_one(lines, asked, due, chance.choice(examples), chance.choice(sessions)))
    return asked


async def _one(lines: "asyncio.Queue[Line]", asked: Asked, due: float, kind: Kind, sessid: str) -> None:
    name, service, method, params = kind
    body = call(service, method, sessid, *params).encode()
    line = await lines.get()
    try:
        answer = await line.ask(body)
    except (OSError, EOFError) as error:
        asked.wrong[name].append(repr(error))
        line = Line(line._port)
    else:
        if is_good(answer):
            asked.took[name].append((time.perf_counter() - due) * 1000)
        else:
            asked.wrong[name].append(answer[:200].decode())
    finally:
        lines.put_nowait(line)
