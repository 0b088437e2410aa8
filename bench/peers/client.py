"""One client for all of them: HTTP/1.1 over TLS, connections kept where they may be, as fast as answers come."""

import asyncio
import ssl
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

CONNECT_SECONDS = 30.0


@dataclass(frozen=True)
class Question:
    """What is asked, whom, and a part of every good answer."""

    host: str
    port: int
    path: str
    good: bytes
    body: str = ""
    certificate: Path | None = None
    """With its key in the same directory."""
    token: str = ""
    """What Salt's API knows its callers by."""

    def request(self) -> bytes:
        """Its bytes."""
        verb = "POST" if self.body else "GET"
        head = f"{verb} {self.path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
        if self.token:
            head += f"Accept: application/json\r\nX-Auth-Token: {self.token}\r\n"
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n{self.body}".encode()

    def context(self) -> ssl.SSLContext:
        """For its connections. It is the answers that are looked at."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.certificate.with_suffix(".key"))
        return context


@dataclass(frozen=True)
class Answers:
    """Milliseconds, and how many a second."""

    p50: float
    rate: float


def once(question: Question) -> bytes:
    """The answer to it."""
    (asker,) = uvloop.run(_asked(question, 1, 0.0))
    return asker.answer


def ask(question: Question, *, clients: int, seconds: float) -> Answers:
    """Ask on so many connections at once for so long."""
    began = time.perf_counter()
    askers = uvloop.run(_asked(question, clients, seconds))
    passed = time.perf_counter() - began
    took = [one for asker in askers for one in asker.took]
    return Answers(statistics.median(took) * 1000, len(took) / passed)


async def _asked(question: Question, clients: int, seconds: float) -> list["_Asker"]:
    until, context = time.perf_counter() + seconds, question.context()
    askers = [_Asker(question, until) for _ in range(clients)]
    await asyncio.gather(*(_keep(asker, question, context) for asker in askers))
    return askers


async def _keep(asker: "_Asker", question: Question, context: ssl.SSLContext) -> None:
    """Have it ask. Where the other side ends the connection after each answer, a new one is part of each call."""
    loop = asyncio.get_running_loop()
    while not asker.done:
        asker.ended = loop.create_future()
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.create_connection(lambda: asker, question.host, question.port, ssl=context)
        await asker.ended
    assert question.good in asker.answer, asker.answer[:300]


class _Asker(asyncio.Protocol):
    """Asks on one connection, anew as soon as it has an answer, with as little work as can be: what it takes is in
    every figure."""

    def __init__(self, question: Question, until: float) -> None:
        self.took: list[float] = []
        self.answer = b""
        self.done = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request, self._good, self._until = question.request(), question.good, until
        self._began = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is of no class of asyncio
        if not self.took:
            self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if (found := _whole(self._got)) is None:
            return
        now = time.perf_counter()
        self.took.append(now - self._began)
        head, self.answer = found
        self._got, self._began = b"", now
        self.done = now >= self._until or self._good not in self.answer
        if self.done or b"connection: close" in head:
            self._transport.close()
        else:
            self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._got or not self.took:
            self.ended.set_exception(exc or ConnectionError("the connection ended before the answer"))
        else:
            self.ended.set_result(None)


def _whole(got: bytes) -> tuple[bytes, bytes] | None:
    """The head of an answer in small letters, and its body; None while some of it is to come."""
    head, end, body = got.partition(b"\r\n\r\n")
    if not end:
        return None
    head = head.lower() + b"\r\n"
    if b"transfer-encoding: chunked" in head:
        return (head, _joined(body)) if body.endswith(b"0\r\n\r\n") else None
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return (head, body) if len(body) >= length else None


def _joined(body: bytes) -> bytes:
    parts, at = [], 0
    while size := int(body[at : (start := body.index(b"\r\n", at) + 2)], 16):
        parts.append(body[start : start + size])
        at = start + size + 2
    return b"".join(parts)
