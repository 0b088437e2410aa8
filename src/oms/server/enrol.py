"""How hosts get in: they ask over HTTPS, wait to be signed by a person, and later renew by themselves."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import structlog
from cryptography import x509
from sqlalchemy import Connection

from oms.bus.enrolment import EnrolAnswer, EnrolRequest, Refusal, RenewRequest
from oms.contract.errors import FuncManError
from oms.contract.func import SSHKeyAddError, SSHKeyCreateError
from oms.contract.internal import HostFacts
from oms.server.ca import csr, renewal, sshkeys
from oms.server.ca.client import SignerClient, SignerError
from oms.server.ca.protocol import Issued, Trust
from oms.server.rules.addresses import neighbourhood
from oms.server.rules.hosttype import automatic_tags, host_type
from oms.server.store import Store, hosts, now
from oms.server.store.hosts import Host, Request, Signing

log = structlog.get_logger("oms.enrol")
MOST_WAITING = 1000
MOST_NEW_A_MINUTE = 10
"""New requests, and changed ones, from one address, where the settings do not say otherwise. A host that asks
again in the same words is not counted."""
REQUEST_LIVES_SECONDS = 24 * 3600


class Signer:
    """Signs requests: the certificate, the SSH key pair, the host's type and tags."""

    def __init__(self, store: Store, signer: SignerClient, days: int) -> None:
        self._store, self._signer, self._days = store, signer, days

    async def sign(self, request: Request, user: str) -> str:
        """Let a host in; answers its type. Signs the very bytes that were reviewed, or nothing."""
        (kind,) = await self.sign_all((request,), user)
        return kind

    async def sign_all(self, requests: Sequence[Request], user: str) -> list[str]:
        """Let all these hosts in, or none; their types, in the same order."""
        signings = [await self._signing(request, user) for request in requests]
        await self._store.write(lambda tx: _let_in(tx, requests, signings))
        for request in requests:
            log.info("host signed", host=request.name, key=request.key_sha256, by=user)
        return [signing.type for signing in signings]

    async def _signing(self, request: Request, user: str) -> Signing:
        """All that signing takes. A certificate that is thrown away lets nobody in: the bus asks the database."""
        try:
            private, public = sshkeys.new_pair(f"OMS for {request.name}")
        except ValueError as refused:
            raise SSHKeyCreateError(f"No SSH key can be made for {request.name}: {refused}") from refused
        issued = await self.issue(request.csr, request.csr_sha256)
        return Signing(
            id=secrets.token_hex(16),
            type=host_type(_facts(request.facts)),
            certificate=issued.certificate,
            certificate_sha256=issued.sha256,
            not_after=issued.not_after.timestamp(),
            ssh_private=private,
            ssh_public=public,
            signed_by=user,
        )

    async def issue(self, pem: str, sha256: str) -> Issued:
        """A host's certificate from the signer process. Raises FuncManError."""
        try:
            return await self._signer.sign_host(pem.encode(), sha256, self._days)
        except SignerError as failure:
            raise FuncManError(f"The certificate could not be made: {failure} Nothing was signed.") from failure


class Enrolment:
    """The side of `/enrol` that hosts talk to."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        trust: Trust,
        bus_port: int,
        *,
        new_a_minute: int = MOST_NEW_A_MINUTE,
        buses: Sequence[str] = (),
    ) -> None:
        """`buses`: where agents find the bus, as host:port; else it is at that port of this server."""
        self._new_a_minute = new_a_minute
        self._store, self._signer, self._trust, self._bus_port = store, signer, trust, bus_port
        self._buses = tuple(f"tls://{bus}" for bus in buses)
        self._host_ca = x509.load_pem_x509_certificate(trust.host_ca.encode())
        self._recent: OrderedDict[str, list[float]] = OrderedDict()

    async def ask(self, asked: EnrolRequest, address: str, called: str) -> EnrolAnswer:
        """How a host's request stands; a new one is written down. `called`: the name the host knows us by.

        Raises Refusal for a request that is not acceptable, and OmsError.
        """
        reviewed = csr.review(asked.csr.encode())
        facts = msgspec.json.encode(_facts(msgspec.json.encode(asked.facts))).decode()
        request = Request(
            reviewed.key_sha256, reviewed.name, asked.csr, reviewed.csr_sha256, facts, address, now()
        )
        standing = await self._store.read(lambda tx: _standing(tx, request.key_sha256))
        if standing.lacks(request):
            if self._may_write(address):
                standing = await self._store.write(lambda tx: _take(tx, request))
                if standing.waiting is request:
                    log.info("host asks", host=request.name, key=request.key_sha256, address=address)
            elif standing.waiting is None:
                raise Refusal(
                    f"More than {self._new_a_minute} new requests a minute from {address}: try again later."
                )
        return self._told(standing, request.key_sha256, called)

    def _told(self, standing: "_Standing", key_sha256: str, called: str) -> EnrolAnswer:
        if standing.host is not None:
            return self._signed(standing.host, called)
        if standing.removed:
            why = "This host was removed from OMS: throw the certificate and the key away, and ask with a new key."
            return EnrolAnswer(state="refused", key_sha256=key_sha256, reason=why)
        return EnrolAnswer(state="waiting", key_sha256=key_sha256)

    async def renew(self, asked: RenewRequest, called: str) -> EnrolAnswer:
        """The next certificate of a signed host. Raises Refusal and OmsError.

        Asked again with the same new key (because the first answer was lost), it gives the same certificate.
        """
        reviewed = renewal.review(asked, self._host_ca, datetime.now(UTC))
        request = reviewed.request
        host = await self._store.read(
            lambda tx: (
                hosts.by_key(tx, request.key_sha256) or hosts.by_certificate(tx, reviewed.certificate_sha256)
            )
        )
        if host is None or host.name != request.name:
            raise Refusal("This certificate is no longer one of ours: ask to be signed with a new key.")
        if host.key_sha256 == request.key_sha256:
            return self._signed(host, called)
        issued = await self._signer.issue(asked.csr, request.csr_sha256)
        await self._store.write(
            lambda tx: hosts.renew(
                tx,
                host.id,
                key_sha256=request.key_sha256,
                certificate=issued.certificate,
                certificate_sha256=issued.sha256,
                not_after=issued.not_after.timestamp(),
            )
        )
        log.info("certificate renewed", host=host.name, not_after=issued.not_after.isoformat())
        renewed = await self._store.read(lambda tx: hosts.by_id(tx, host.id))
        if renewed is None:
            raise Refusal("This host was removed from OMS: ask to be signed with a new key.")
        return self._signed(renewed, called)

    def _signed(self, host: Host, called: str) -> EnrolAnswer:
        return EnrolAnswer(
            state="signed",
            key_sha256=host.key_sha256,
            host_id=host.id,
            certificate=host.certificate,
            host_ca=self._trust.host_ca,
            server_ca=self._trust.server_ca,
            bus_url=self._buses[0] if self._buses else f"tls://{called}:{self._bus_port}",
            bus_urls=self._buses,
        )

    def _may_write(self, address: str) -> bool:
        """Whether that address may have something written down once more this minute."""
        moment, whose = time.monotonic(), neighbourhood(address)
        recent = [at for at in self._recent.pop(whose, []) if moment - at < 60]
        allowed = len(recent) < self._new_a_minute
        self._recent[whose] = [*recent, moment] if allowed else recent
        while len(self._recent) > MOST_WAITING:
            self._recent.popitem(last=False)
        return allowed


def _let_in(tx: Connection, requests: Sequence[Request], signings: Sequence[Signing]) -> None:
    for request, signing in zip(requests, signings, strict=True):
        if hosts.request_by_key(tx, request.key_sha256) is None:
            raise SSHKeyAddError(f"The request of {request.name} is gone meanwhile: nothing was signed.")
        hosts.sign(tx, request, signing)
        hosts.put_tags(tx, signing.id, 1, (signing.type,))
        hosts.put_tags(tx, signing.id, 2, automatic_tags(_facts(request.facts)))
        hosts.pin_ssh(tx, signing.id, _facts(request.facts).ssh_host_keys)


class _Standing(msgspec.Struct, frozen=True):
    """What is known of a key: the host that has it, whether a host was removed with it, the request that waits."""

    host: Host | None
    removed: bool
    waiting: Request | None

    def lacks(self, request: Request) -> bool:
        """Whether the request, just as it is, has still to be written down."""
        if self.host is not None or self.removed:
            return False
        kept = self.waiting
        return kept is None or (kept.csr_sha256, kept.facts) != (request.csr_sha256, request.facts)


def _standing(tx: Connection, key: str) -> _Standing:
    return _Standing(hosts.by_key(tx, key), hosts.was_removed(tx, key), hosts.request_by_key(tx, key))


def _take(tx: Connection, request: Request) -> _Standing:
    """Write the request down, unless its key was signed or removed since it was looked at; how it stands then."""
    standing = _standing(tx, request.key_sha256)
    if not standing.lacks(request):
        return standing
    hosts.drop_requests_before(tx, now() - REQUEST_LIVES_SECONDS)
    if hosts.count_requests(tx) >= MOST_WAITING:
        raise Refusal(f"{MOST_WAITING} requests wait already: an administrator must look at them first.")
    hosts.ask(tx, request)
    return _Standing(None, removed=False, waiting=request)


def _facts(text: bytes | str) -> HostFacts:
    """An agent's words as far as they are of the declared shape; nothing is believed of the rest."""
    try:
        return msgspec.json.decode(text, type=HostFacts)
    except msgspec.MsgspecError:
        return HostFacts("")
