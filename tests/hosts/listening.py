"""Hearing of events, as a program that reads the stream does."""

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator
from typing import Any

from tests.hosts.stack import Caller


@contextlib.contextmanager
def listening(port: int, caller: Caller, after: int) -> Iterator[Iterator[dict[str, Any]]]:
    """A stream's events of the API, as they come."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {caller.sessid}", "Last-Event-ID": str(after)}
        connection.request("GET", "/events", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        assert (answer.getheader("content-type") or "").startswith("text/event-stream")
        yield (told for told in map(_data, answer) if "kind" in told)


def _data(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line[6:]) if line.startswith(b"data: ") else {}
    return found


def until(events: Iterator[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """What comes until there was each of these kinds."""
    found: list[dict[str, Any]] = []
    while not set(kinds) <= {event["kind"] for event in found}:
        found.append(next(events))
    return found


def head(caller: Caller) -> int:
    number: int = caller.call("eventservices", "list_events", caller.sessid, 0)["next"]
    return number
