"""How an answer says that it is none: headers, on the few answers that need one. Pure.

An answer without headers is the handler's. nats-server itself answers "503" when nobody listens.
"""

from oms.bus.wire import AnswerTooLarge, HostBusy, NoAnswer, WireError

STATUS = "Oms-Status"
BUSY = "busy"
TOO_LARGE = "too-large"
BROKEN = "broken"

_NOBODY = b"NATS/1.0 503"
_OURS = b"NATS/1.0\r\n" + STATUS.encode() + b": "


def is_nobody(headers: bytes) -> bool:
    """Whether nats-server says that nobody listens."""
    return headers.startswith(_NOBODY)


def failure(headers: bytes, host_id: str) -> WireError:
    """The error that the headers of an answer mean; an unknown one comes from an agent of another age."""
    status = headers[len(_OURS) :].split(b"\r\n", 1)[0].decode("ascii", "replace")
    if not headers.startswith(_OURS):
        status = ""
    if status == BUSY:
        return HostBusy(f"host {host_id} has as many requests in hand as it takes")
    if status == TOO_LARGE:
        return AnswerTooLarge(f"the answer of host {host_id} is larger than the bus carries")
    if status == BROKEN:
        return NoAnswer(f"host {host_id} broke while it ran the request")
    return NoAnswer(f"host {host_id} gave an answer of an unknown kind")
