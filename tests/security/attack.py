"""Calls that must be refused, and what each refusal is held to.

An answer is an error that the method publishes, and shows nothing of OMS's inside; nothing was changed by it; the
audit has a line of it, which nobody else has written; and whoever calls next is served at once.
"""

import json
import time
from typing import Any, Self

from oms.contract.errors import GENERAL, CallError, OmsError
from oms.contract.operation import Operation
from oms.contract.registry import BY_WIRE
from tests.security import snapshot
from tests.server.asgi import Reply
from tests.server.rig import PASSWORD, Oms

AT_ONCE_S = 5.0
INSIDE = (
    "Traceback",
    "site-packages",
    "sqlalchemy",
    "sqlite",
    "SELECT ",
    "INSERT ",
    "oms.server",
    "oms/server",
    "PRIVATE KEY",
    "argon2",
    PASSWORD,
)
"""Words that stand in no answer to anybody."""
NOT_REACHED = {
    kind.wire_name for kind in OmsError.kinds.values() if issubclass(kind, CallError) and kind is not CallError
}


def published(method: str) -> set[str]:
    """The names of all errors that a method may answer."""
    kind: type[Operation[Any]] | None = BY_WIRE.get(method)
    own = kind.facts.raises if kind else ()
    return {error.wire_name for error in (*GENERAL, *own)} | NOT_REACHED


def shows_nothing(text: str, *secrets: str) -> None:
    """Fails where an answer tells of OMS's inside, or one of these secrets."""
    assert [word for word in (*INSIDE, *secrets) if word in text] == [], text


class Attack:
    """`async with Attack(oms) as attack:` every call made through it is held to all that; `secrets` besides."""

    def __init__(self, oms: Oms, *secrets: str) -> None:
        self.oms = oms
        self._secrets = (str(oms.folder), *secrets)
        self._calls = 0

    async def __aenter__(self) -> Self:
        self._honest = await self.oms.as_viewer()
        self._before = snapshot.of(self.oms)
        self._lines = len(self.oms.audited())
        return self

    async def __aexit__(self, broken: object, *_: object) -> None:
        if broken is None:
            self._one_line_each()
            await self._served_at_once()
            assert snapshot.of(self.oms) == self._before

    async def refused(self, method: str, params: Any, **more: Any) -> dict[str, Any]:
        """The error that such a call is answered with."""
        return self.held(method, await self.oms.reply(method, params, **more))

    def unanswered(self) -> None:
        """A call was made that wants no answer."""
        self._calls += 1

    def held(self, method: str, reply: Reply, *, calls: int = 1) -> dict[str, Any]:
        """The error in an answer, after it was held to all that; `calls` is 0 where it was no call as yet."""
        self._calls += calls
        assert reply.status == 200, reply
        shows_nothing(reply.body.decode(), *self._secrets)
        error: dict[str, Any] = reply.json["error"]
        assert error is not None, f"{method} was answered: {reply.json}"
        name = error.get("name") or error["data"]["name"]
        assert name in published(method), f"{method} does not publish {name}"
        return {**error, "name": name}

    def _one_line_each(self) -> None:
        raw = (self.oms.config.home / "audit.log").read_bytes().splitlines()[self._lines :]
        assert len(raw) == self._calls
        for line in raw:
            assert not any(byte < 0x20 for byte in line)
            assert json.loads(line)["outcome"] != "ok"

    async def _served_at_once(self) -> None:
        began = time.monotonic()
        await self._honest.ask("funcservices.list_signed", 0)
        assert time.monotonic() - began < AT_ONCE_S
