"""Who may connect: nats-server asks OMS about each connection, and OMS asks its database.

The only thing that counts is the client certificate that nats-server has verified, by its SHA-256 fingerprint.
What the client says about itself (user, token, name) is ignored. The answer is a user token: which host this is,
what it may do (`oms.bus.nats.permissions`), and until when. nats-server ends the connection then, because it never
looks at a certificate again after the handshake; the agent connects anew and is asked anew.
"""

import asyncio
import contextlib
import hashlib
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog

from oms.background import Background
from oms.bus.nats import nkey
from oms.bus.nats.client import BUS_ERRORS, BusClient
from oms.bus.nats.config import BUS_ACCOUNT
from oms.bus.nats.permissions import host_permissions
from oms.bus.wire import check_host_id

log = structlog.get_logger("oms.bus.nats")

SUBJECT = "$SYS.REQ.USER.AUTH"
_QUEUE = "oms"  # several OMS servers share the questions


@dataclass(frozen=True, slots=True)
class Admission:
    """What the database knows about a signed certificate."""

    host_id: str
    expires: datetime
    """End of the certificate, with its time zone."""


Lookup = Callable[[str], Awaitable[Admission | None]]
"""SHA-256 fingerprint (64 lower-case hex digits) -> the admission; None when not signed here, or revoked.
It must ask the database each time: an answer kept in memory would let a revoked host in."""


class Rejected(Exception):
    """Why a connection is not let in; nats-server writes the text to its log, the client never sees it."""


class _ClientInfo(msgspec.Struct):
    kind: str = "Client"
    host: str = ""


class _Tls(msgspec.Struct):
    verified_chains: list[list[str]] = []


class _ServerId(msgspec.Struct):
    id: str


class _Question(msgspec.Struct):
    user_nkey: str
    server_id: _ServerId
    client_info: _ClientInfo
    client_tls: _Tls | None = None


class _Claims(msgspec.Struct):
    nats: _Question


_claims = msgspec.json.Decoder(_Claims)


class Callout:
    """Answers nats-server's questions. Questions are answered side by side, a bounded number at a time."""

    def __init__(
        self,
        issuer: nkey.Issuer,
        lookup: Lookup,
        *,
        longest_s: float = 24 * 3600,
        patience_s: float = 3.0,
        at_once: int = 64,
        ready: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`longest_s`: a host is asked anew after 0.7 to 1 times this. `patience_s`: how long the database may
        take; shorter than nats-server's own patience, so that the reason stands in nats-server's log.
        `ready` is waited for before anybody is let in.
        """
        self._issuer, self._lookup = issuer, lookup
        self._longest_s, self._patience_s = longest_s, patience_s
        self._gate = asyncio.Semaphore(at_once)
        self._ready = ready
        self._shunned: dict[str, float] = {}
        self._tasks = Background()

    def shun(self, host_id: str, seconds: float) -> None:
        """Let a host in again only after this time, whatever the database says."""
        self._shunned[host_id] = time.monotonic() + seconds

    async def subscribe(self, client: BusClient) -> None:
        """Answer on this SYS connection from now on."""

        def ask(_subject: str, reply: str, _headers: bytes, payload: bytes) -> None:
            question = _claims.decode(nkey.payload_of(payload)).nats
            self._tasks.begin(self._answer(client, reply, question))

        await client.listen(SUBJECT, ask, queue=_QUEUE)

    async def close(self) -> None:
        """Drop the questions in hand."""
        await self._tasks.end()

    async def _answer(self, client: BusClient, reply: str, question: _Question) -> None:
        body: nkey.Claims = {"type": "authorization_response", "version": 2}
        try:
            async with self._gate, asyncio.timeout(self._patience_s):
                if self._ready is not None:
                    await self._ready()
                body["jwt"] = await self._user(question)
        except Rejected as why:
            body["error"] = str(why)
        except TimeoutError:
            body["error"] = "OMS could not decide in time"
        except Exception:
            log.exception("nobody could be asked who may connect to the bus")
            body["error"] = "OMS could not decide"
        if "error" in body:
            log.warning("connection to the bus refused", address=question.client_info.host, reason=body["error"])
        answer = self._issuer.sign(question.user_nkey, body, aud=question.server_id.id)
        with contextlib.suppress(*BUS_ERRORS):  # then nats-server asks anew, or is gone
            await client.publish(reply, answer.encode())

    async def _user(self, question: _Question) -> str:
        """The token that lets this connection in. Raises Rejected."""
        chains = question.client_tls.verified_chains if question.client_tls else []
        if not chains or not chains[0]:
            raise Rejected("no verified client certificate")
        if question.client_info.kind != "Client":
            raise Rejected(f"{question.client_info.kind} connections are not allowed")
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(chains[0][0])).hexdigest()
        admission = await self._lookup(fingerprint)
        if admission is None:
            raise Rejected(f"certificate {fingerprint} is not signed here, or is revoked")
        host_id = check_host_id(admission.host_id)
        if self._shunned.get(host_id, 0) > time.monotonic():
            raise Rejected(f"host {host_id} floods the bus and has to wait")
        self._shunned.pop(host_id, None)
        permissions = {**host_permissions(host_id), "type": "user", "version": 2}
        expires = self._expiry(admission.expires)
        return self._issuer.sign(question.user_nkey, permissions, name=host_id, aud=BUS_ACCOUNT, exp=expires)

    def _expiry(self, certificate_end: datetime) -> int:
        """Seconds since 1970. Jittered: hosts that connected together must not come back together."""
        now, end = time.time(), certificate_end.timestamp()
        if end <= now:
            raise Rejected("the certificate is over")
        wanted = now + self._longest_s * random.uniform(0.7, 1.0)  # noqa: S311 - jitter
        return int(min(wanted, end))
