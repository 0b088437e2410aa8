"""The few addresses beside the calls: the CA that agents pin, and the desk where hosts enrol."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from oms.bus.enrolment import EnrolAnswer, EnrolRequest, Refusal, RenewRequest
from oms.bus.wire import ServerWire
from oms.contract.errors import OmsError
from oms.server.edge.http import Ask, Page, Reply
from oms.server.enrol import Enrolment
from oms.server.store import Store

T = TypeVar("T")
LONGEST_REQUEST_BYTES = 24 * 1024
"""Two certificates' worth of PEM with the facts; each part has its own, smaller limit."""


HEALTH_SECONDS = 2.0


def health(store: Store, wire: ServerWire) -> Page:
    """Whether calls may be sent here: 200 while the database answers and the bus is connected, else 503."""

    async def page(_ask: Ask) -> Reply:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await store.read(lambda tx: tx.exec_driver_sql("SELECT 1").scalar_one())
        except (OmsError, TimeoutError):
            return _json(503, {"status": "no database"})
        return _json(200, {"status": "ok"}) if wire.connected else _json(503, {"status": "no bus"})

    return page


def pages(enrolment: Enrolment, ca_pem: str) -> Mapping[str, Page]:
    """Address -> page."""

    async def ca(_ask: Ask) -> Reply:
        return Reply(200, ca_pem.encode(), b"application/x-pem-file")

    async def enrol(ask: Ask) -> Reply:
        return await _answered(ask, EnrolRequest, lambda asked: enrolment.ask(asked, ask.address, _called(ask)))

    async def renew(ask: Ask) -> Reply:
        return await _answered(ask, RenewRequest, lambda asked: enrolment.renew(asked, _called(ask)))

    return {"/ca.pem": ca, "/enrol": enrol, "/enrol/renew": renew}


async def _answered(ask: Ask, kind: type[T], answer: Callable[[T], Awaitable[EnrolAnswer]]) -> Reply:
    if ask.verb != "POST":
        return _refused(405, "POST a request.")
    if len(ask.body) > LONGEST_REQUEST_BYTES:
        return _refused(413, f"A request has at most {LONGEST_REQUEST_BYTES} bytes.")
    try:
        return _json(200, await answer(msgspec.json.decode(ask.body, type=kind)))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _refused(400, "This is no such request.")
    except Refusal as refusal:
        return _refused(403, refusal.reason)
    except OmsError as error:
        return _refused(503, error.message)


def _called(ask: Ask) -> str:
    """The name the host knows us by: it is told to find the bus there as well."""
    name = ask.host.rpartition(":")[0] if ":" in ask.host and not ask.host.endswith("]") else ask.host
    return name or "localhost"


def _refused(status: int, why: str) -> Reply:
    return _json(status, {"error": why})


def _json(status: int, value: Any) -> Reply:
    return Reply(status, msgspec.json.encode(value))
