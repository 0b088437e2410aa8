"""What it costs that somebody listens: one event to many streams, and changing calls beside them."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from bench.figures import Pairs, say
from bench.load import call, good, wrk
from bench.machine import cpu_ms
from bench.setting import CLIENTS, Setting

LISTENERS = 1000
OF_A_SESSION = 16
CHANGES = 10
SECONDS = 3
APART_SECONDS = 0.8
"""Longer than it takes until all have heard of one, so that each event is handed out by itself."""


def events(on: Setting) -> None:
    """CPU time of the server for a change that many hear of, beside one that nobody does; then as many as go."""
    front = (on.caller.sessid, 0)
    on.caller.call("userservices", "add_user", *front, "ears", "seven purple whales at noon", "viewer")
    roles = [call("userservices", "set_role", *front, "ears", role) for role in ("viewer", "operator")]
    heard, alone = Pairs([], []), Pairs([], [])
    for _ in range(3):
        heard.theirs.append(_cost_ms(on))
        alone.theirs.append(good(wrk(on.url, roles, clients=CLIENTS, seconds=SECONDS)).rate)
        with listening(on):
            heard.ours.append(_cost_ms(on))
            alone.ours.append(good(wrk(on.url, roles, clients=CLIENTS, seconds=SECONDS)).rate)
    say(f"a change that {LISTENERS} hear / that nobody hears: CPU", heard, None, "ms")
    say(f"changing calls at {CLIENTS}, {LISTENERS} listening / nobody", alone, None, "per s")


def _cost_ms(on: Setting) -> float:
    before = cpu_ms(on.oms.pid("server"))
    for number in range(CHANGES):
        role = ("viewer", "operator")[number % 2]
        on.caller.call("userservices", "set_role", on.caller.sessid, 0, "ears", role)
        time.sleep(APART_SECONDS)
    return (cpu_ms(on.oms.pid("server")) - before) / CHANGES


@contextlib.contextmanager
def listening(on: Setting) -> Iterator[None]:
    """So many streams over TLS, read by a thread of ours."""
    with ThreadPoolExecutor(4) as threads:
        sessions = list(threads.map(lambda _: on.oms.caller(), range(-(-LISTENERS // OF_A_SESSION))))
    ready, over = threading.Event(), threading.Event()
    reading = threading.Thread(
        target=lambda: asyncio.run(_read(on.oms.port, [one.sessid for one in sessions], ready, over))
    )
    reading.start()
    assert ready.wait(300)
    try:
        yield
    finally:
        over.set()
        reading.join()
        for one in sessions:
            one.close()


async def _read(port: int, sessids: list[str], ready: threading.Event, over: threading.Event) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    begun, few = 0, asyncio.Semaphore(32)

    async def one(sessid: str) -> None:
        nonlocal begun
        async with few:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            asked = f"GET /events?kinds=user HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {sessid}\r\n\r\n"
            writer.write(asked.encode())
            await reader.readuntil(b"event: head")
        begun += 1
        try:
            while await reader.read(65_536):
                pass
        finally:
            writer.transport.abort()  # or the server has them until it sees that they read nothing

    tasks = [asyncio.create_task(one(sessids[number // OF_A_SESSION])) for number in range(LISTENERS)]
    while begun < LISTENERS:  # noqa: ASYNC110 - sockets come when they come
        await asyncio.sleep(0.05)
    ready.set()
    await asyncio.to_thread(over.wait)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
