"""OMS's HTTPS address, really listening in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from oms.server.ca.client import SignerClient
from oms.server.edge.http import Edge
from oms.server.edge.listener import bound, listening
from oms.server.identity import Identity as ServerIdentity
from oms.server.identity import prepare
from tests.server.rig import Oms

SIGN, REMOVE = "funcservices.sign_requests", "funcservices.remove_signed"


@dataclass
class Door:
    """OMS's HTTPS address, really listening. `lose` answers: done, but the answer never arrives."""

    oms: Oms
    server: ServerIdentity
    port: int
    asked: list[str]
    lose: int = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def people(self, method: str, *names: str) -> Any:
        """What an administrator does."""
        return await (await self.oms.as_admin()).ask(method, 0, list(names))

    async def listed(self, method: str = "list_requests") -> list[str]:
        found = await (await self.oms.as_admin()).ask(f"funcservices.{method}", 0)
        return [host["name"] for host in found]

    async def sign(self, name: str = "h1") -> None:
        async with asyncio.timeout(30):
            while name not in await self.listed():  # noqa: ASYNC110 - a request comes when it comes
                await asyncio.sleep(0.02)
        await self.people(SIGN, name)


@pytest.fixture
async def door(oms: Oms) -> AsyncIterator[Door]:
    server = await prepare(oms.config, SignerClient(oms.config.signer))
    async with serving(oms, server) as opened:
        yield opened


@contextlib.asynccontextmanager
async def serving(oms: Oms, server: ServerIdentity) -> AsyncIterator[Door]:
    listener = bound("127.0.0.1", 0)
    opened = Door(oms, server, listener.getsockname()[1], [])

    async def edge(scope: Any, receive: Any, send: Any) -> None:
        opened.asked.append(scope["path"])

        async def lost(message: Any) -> None:
            if not opened.lose:
                await send(message)
            elif message["type"] == "http.response.body":
                opened.lose -= 1
                raise ConnectionResetError("the answer is lost on its way")

        await oms.edge(scope, receive, lost)

    real: Edge = edge  # type: ignore[assignment]
    async with listening(real, server.web, listener) as uvicorn:
        async with asyncio.timeout(30):
            while not uvicorn.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield opened
