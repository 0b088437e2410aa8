"""Passages of two hosts in one process, and who brings them together."""

import json
import socket
from typing import Any

from oms.agent.passage.passages import Passages, Terms
from oms.bus.introduction import Introduced
from oms.contract.errors import NotThere, OmsError, pack
from oms.contract.internal import WhereGate
from oms.contract.operation import HostOperation

LOOPBACK = "127.0.0.1"


class Records:
    """A job's records, in memory."""

    def __init__(self, name: str) -> None:
        self.id = name * 32
        self.kept: dict[str, str] = {}

    def recall(self, key: str) -> Any:
        return json.loads(self.kept[key]) if key in self.kept else None

    async def record(self, key: str, value: Any) -> None:
        self.kept[key] = json.dumps(value)


class Pair:
    """Knows the one passage that a test opens: `there` is its gate's side."""

    def __init__(self) -> None:
        self.there: Passages | None = None
        self.asked: list[HostOperation[Any]] = []
        self.called_off: list[str] = []
        self.refusal: OmsError | None = None

    async def introduce(self, job: str, op: HostOperation[Any]) -> Introduced:
        self.asked.append(op)
        if self.refusal is not None:
            return Introduced("b" * 32, "failed", None, pack(self.refusal))
        assert self.there is not None
        try:
            return Introduced("b" * 32, "running", self.there.where("b" * 32))
        except NotThere:
            return Introduced("b" * 32, "running")

    async def standing(self, job: str) -> str:
        return "running"

    async def call_off(self, job: str) -> bool:
        self.called_off.append(job)
        return False


def hosts(bytes_per_second: float = 0, ports: Any = None) -> tuple[Passages, Passages, Pair]:
    """The side that comes, the one that listens, and who knows both."""
    pair = Pair()
    terms = Terms(lambda: LOOPBACK, ports or range(49300, 49400), bytes_per_second)
    coming, listening = Passages(terms, pair), Passages(terms, pair)
    pair.there = listening
    return coming, listening, pair


def there(certificate: str) -> HostOperation[Any]:
    """What the other side is to do; here it is the certificate that counts."""
    return WhereGate(certificate)


def taken_port() -> socket.socket:
    """A port that somebody else has."""
    other = socket.socket()
    other.bind((LOOPBACK, 0))
    other.listen(1)
    return other
