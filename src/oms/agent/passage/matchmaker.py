"""OMS, as far as it brings two hosts together: what it is asked, and over which connection."""

import asyncio
import http.client
from typing import Any

import msgspec

from oms.agent.passage.stream import Cut
from oms.agent.transfer.relay import LONGEST_ANSWER_BYTES, UNREACHED, Relay
from oms.bus import introduction
from oms.bus.call import encode
from oms.bus.introduction import CalledOff, Introduced
from oms.contract.errors import WireError, unpack
from oms.contract.operation import HostOperation


class OmsMatchmaker:
    """The OMS that was pinned."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def introduce(self, job: str, op: HostOperation[Any]) -> Introduced:
        """See `crossing.Matchmaker`."""
        return _understood(await asyncio.to_thread(self._exchange, "POST", job, encode(op)))

    async def standing(self, job: str) -> str:
        """See `crossing.Matchmaker`."""
        return _understood(await asyncio.to_thread(self._exchange, "GET", job, b"")).state

    async def call_off(self, job: str) -> bool:
        """See `crossing.Matchmaker`."""
        answer = await asyncio.to_thread(self._exchange, "DELETE", job, b"")
        try:
            return msgspec.json.decode(answer, type=CalledOff).over
        except (ValueError, RecursionError) as bad:
            raise Cut("OMS answers what is not understood") from bad

    def _exchange(self, verb: str, job: str, body: bytes) -> bytes:
        target = f"{introduction.PATH}{job}"
        try:
            connection = self._relay.connected()
            try:
                headers = {"Content-Type": "application/json", **self._relay.claim(verb, target)}
                connection.request(verb, target, body, headers)
                response = connection.getresponse()
                answer = response.read(LONGEST_ANSWER_BYTES)
            finally:
                connection.close()
        except (*UNREACHED, http.client.HTTPException) as failure:
            raise Cut(f"OMS cannot be reached: {failure}") from failure
        if response.status != 200:
            raise _refused(response.status, answer)
        return answer


def _understood(answer: bytes) -> Introduced:
    try:
        return msgspec.json.decode(answer, type=Introduced)
    except (ValueError, RecursionError) as bad:
        raise Cut("OMS answers what is not understood") from bad


def _refused(status: int, answer: bytes) -> Exception:
    try:
        told = msgspec.json.decode(answer, type=dict[str, WireError])["error"]
    except (ValueError, KeyError, RecursionError):
        return Cut(f"OMS answers {status}")
    return Cut(told.message) if status >= 500 else unpack(told)
