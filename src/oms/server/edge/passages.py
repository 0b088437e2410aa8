"""/passages/JOB: a host with a job that has another side is told where that is. See `oms.bus.introduction`."""

import re

import msgspec

from oms.bus import introduction, transfer
from oms.bus.enrolment import Refusal
from oms.bus.introduction import CalledOff
from oms.contract.errors import FuncManError, OmsError
from oms.server.edge.http import ALWAYS, Answered, Receive, Scope, Send
from oms.server.matchmaker import Matchmaker, is_final
from oms.server.store.hosts import Host
from oms.server.transfers import Transfers

_ID = re.compile(r"[0-9a-f]{32}")
_JSON = [(b"content-type", b"application/json"), *ALWAYS]


class PassageDoor:
    """The address."""

    def __init__(self, matchmaker: Matchmaker, transfers: Transfers) -> None:
        """`transfers` knows hosts by their signatures."""
        self._matchmaker, self._transfers = matchmaker, transfers

    async def __call__(self, scope: Scope, receive: Receive, _send: Send, *, foreign: bool) -> Answered | None:
        """One request."""
        if foreign:
            return _refused(403, FuncManError("Another site's page has nothing to ask here."))
        try:
            return await self._answer(scope, receive)
        except Refusal as refusal:
            return _refused(400, FuncManError(refusal.reason))
        except OmsError as error:
            return _refused(409 if is_final(error) else 503, error)

    async def _answer(self, scope: Scope, receive: Receive) -> Answered | None:
        verb = scope["method"]
        host = await self._host(scope, verb)
        job_id = scope["path"].removeprefix(introduction.PATH)
        if not _ID.fullmatch(job_id):
            raise Refusal("A job's id has 32 hexadecimal digits.")
        if verb == "DELETE":
            over = await self._matchmaker.call_off(host, job_id)
            return 200, _JSON, msgspec.json.encode(CalledOff(over))
        if verb == "GET":
            return 200, _JSON, msgspec.json.encode(await self._matchmaker.standing(host, job_id))
        if verb != "POST":
            return _refused(
                405, FuncManError("POST what the other host is to do, DELETE to call it off, GET to ask.")
            )
        if (body := await _body(receive)) is None:
            return None
        found = await self._matchmaker.introduce(host, job_id, body)
        return 200, _JSON, msgspec.json.encode(found)

    async def _host(self, scope: Scope, verb: str) -> Host:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        claim = headers.get(transfer.HOST_HEADER.encode(), "")
        return await self._transfers.host(claim, verb, scope["raw_path"].decode("latin-1"))


async def _body(receive: Receive) -> bytes | None:
    """The body; None where whoever asked has left. Raises Refusal."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > introduction.LONGEST_BYTES:
            raise Refusal("That is longer than any move needs.")
    return bytes(body)


def _refused(status: int, error: OmsError) -> Answered:
    told = {"kind": type(error).__name__, "name": error.wire_name, "message": error.message, "data": error.data}
    return status, _JSON, msgspec.json.encode({"error": told})
