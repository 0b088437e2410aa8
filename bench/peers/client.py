"""One client for all of them: HTTP/1.1 over TLS, connections kept where they may be, as fast as answers come."""

import asyncio
import ssl
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

CONNECT_SECONDS = 30.0
LONGEST_BYTES = 16 * 1024 * 1024


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
    return uvloop.run(_once(question))


def ask(question: Question, *, clients: int, seconds: float) -> Answers:
    """Ask on so many connections at once for so long."""
    return uvloop.run(_asked(question, clients, seconds))


async def _once(question: Question) -> bytes:
    reader, writer = await _connected(question, question.context())
    writer.write(question.request())
    _head, answer = await _answer(reader)
    writer.close()
    assert question.good in answer, answer[:300]
    return answer


async def _asked(question: Question, clients: int, seconds: float) -> Answers:
    began = time.perf_counter()
    took = await asyncio.gather(*(_keep(question, began + seconds) for _ in range(clients)))
    passed = time.perf_counter() - began
    every = [one for line in took for one in line]
    return Answers(statistics.median(every) * 1000, len(every) / passed)


async def _keep(question: Question, until: float) -> list[float]:
    """Ask on one connection. Where the other side ends it after each answer, a new one is part of each call."""
    took: list[float] = []
    request, context = question.request(), question.context()
    reader, writer = await _connected(question, context)
    while not took or time.perf_counter() < until:
        began = time.perf_counter()
        if writer.is_closing():
            reader, writer = await _connected(question, context)
        writer.write(request)
        head, answer = await _answer(reader)
        took.append(time.perf_counter() - began)
        if b"connection: close" in head:
            writer.close()
        assert question.good in answer, answer[:300]
    writer.close()
    return took


async def _connected(
    question: Question, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(CONNECT_SECONDS):
        return await asyncio.open_connection(question.host, question.port, ssl=context, limit=LONGEST_BYTES)


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Its head in small letters, and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" not in head:
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        return head, await reader.readexactly(int(length.partition(b":")[2]))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return head, b"".join(parts)
