"""Bytes brought to an upload as a client does, whole or in parts, and cut off where a test says."""

import contextlib
import http.client
import json
import time
from typing import Any

import msgspec

from oms.bus import pinning
from tests.hosts.stack import Caller, Stack


class Brought(msgspec.Struct, frozen=True):
    """How a request with bytes was answered."""

    status: int
    body: Any


def request(oms: Stack, verb: str, address: str, headers: dict[str, str], pieces: list[bytes]) -> Brought:
    """One request; status 0 where the connection broke."""
    connection = http.client.HTTPSConnection("127.0.0.1", oms.port, timeout=60, context=pinning.unverified())
    with contextlib.closing(connection):
        try:
            connection.putrequest(verb, address)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            for piece in pieces:
                connection.send(piece)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            return Brought(0, None)
    return Brought(response.status, json.loads(text) if text else None)


def bring(
    oms: Stack, caller: Caller, address: str, content: bytes, first: int = 0, *, last: int = 0, cut: int = 0
) -> Brought:
    """PUT the bytes from `first` to `last` (0: to the end); with `cut` the connection ends after so many."""
    last = last or len(content) - 1
    headers = {
        "Authorization": f"Bearer {caller.sessid}",
        "Content-Length": str(last + 1 - first),
        "Content-Range": f"bytes {first}-{last}/{len(content)}",
    }
    part = content[first : first + cut] if cut else content[first : last + 1]
    pieces = [part[place : place + 65_536] for place in range(0, len(part), 65_536)]
    if cut:
        return _cut_off(oms, address, headers, pieces)
    return request(oms, "PUT", address, headers, pieces)


def _cut_off(oms: Stack, address: str, headers: dict[str, str], pieces: list[bytes]) -> Brought:
    connection = http.client.HTTPSConnection("127.0.0.1", oms.port, timeout=60, context=pinning.unverified())
    connection.putrequest("PUT", address)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    for piece in pieces:
        connection.send(piece)
    time.sleep(0.3)  # what OMS has not read when the connection ends is gone with it
    connection.close()
    return Brought(0, None)


def offset(oms: Stack, caller: Caller, address: str) -> int:
    """From where on bytes are wanted; -1 where none are just now."""
    asked = request(oms, "GET", address, {"Authorization": f"Bearer {caller.sessid}"}, [])
    assert asked.status == 200, asked
    return int(asked.body["offset"])
