"""How this host gets in: it knows OMS by a pinned fingerprint, asks, waits for a person, and later renews."""

import asyncio
import hashlib
import http.client
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog

from oms.agent.config import AgentConfig, plain
from oms.agent.host import durable
from oms.agent.identity import Identity, Place, now
from oms.bus import enrolment
from oms.bus.enrolment import EnrolAnswer, EnrolRequest, Refusal
from oms.contract.internal import HostFacts

log = structlog.get_logger("oms.agent")
ASK_SECONDS = 2.0
ASK_SLOWLY_SECONDS = 15.0
PATIENT_AFTER_SECONDS = 120.0
LONGEST_ANSWER_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0


class NotOurs(Exception):
    """What answers is not the OMS whose fingerprint was given, or none was given."""


class OutOfReach(Exception):
    """OMS could not be asked; trying again may help."""


class Desk:
    """OMS's desk for hosts, over HTTPS that is verified by the pinned CA."""

    def __init__(self, config: AgentConfig, identity: Identity) -> None:
        self._config, self._identity = config, identity
        parts = urlsplit(config.server)
        self._host, self._port = parts.hostname or "", parts.port or 443

    async def pin(self) -> None:
        """Fetch OMS's CA and keep it, if it is the one whose fingerprint was given. Raises NotOurs, OutOfReach."""
        if self._config.ca_file is not None:
            durable.write_whole(self._identity.ca, self._config.ca_file.read_bytes())
        elif not self._pinned():
            await self._fetch()

    def _pinned(self) -> bool:
        """Whether a CA is kept already that is the one wanted."""
        if not self._identity.ca.exists():
            return False
        return not self._config.ca_sha256 or plain(self._config.ca_sha256) == _sha256(
            self._identity.ca.read_text()
        )

    async def _fetch(self) -> None:
        if not self._config.ca_sha256:
            raise NotOurs(
                "Whether that is OMS cannot be told: give --ca-sha256 with the fingerprint that OMS printed at "
                "its start, or --ca-file. Nobody is trusted unseen."
            )
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        _, body = await asyncio.to_thread(self._exchange, unverified, "GET", "/ca.pem", b"")
        text = body.decode("ascii", "replace")
        try:
            found = _sha256(text)
        except ValueError as error:
            raise NotOurs(f"{self._config.server} gives no certificate at /ca.pem: it is no OMS.") from error
        if found != plain(self._config.ca_sha256):
            raise NotOurs(
                f"{self._config.server} is not the OMS that was meant: its CA has the fingerprint {found}, "
                f"given was {plain(self._config.ca_sha256)}. Nothing was sent to it."
            )
        durable.write_whole(self._identity.ca, text.encode())

    async def ask(self, path: str, question: msgspec.Struct) -> EnrolAnswer:
        """OMS's answer. Raises Refusal with OMS's reason, OutOfReach, NotOurs."""
        trusted = ssl.create_default_context(cafile=str(self._identity.ca))
        body = msgspec.json.encode(question)
        status, answer = await asyncio.to_thread(self._exchange, trusted, "POST", path, body)
        try:
            if status == 200:
                return msgspec.json.decode(answer, type=EnrolAnswer)
            reason = str(msgspec.json.decode(answer, type=dict[str, Any]).get("error", ""))
        except msgspec.MsgspecError:
            raise OutOfReach(f"{self._config.server} answers {status} and not as OMS does.") from None
        if status == 503:
            raise OutOfReach(f"OMS cannot do it now: {reason}")
        raise Refusal(reason)

    def _exchange(self, context: ssl.SSLContext, verb: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=context)
        try:
            connection.request(verb, path, body or None, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read(LONGEST_ANSWER_BYTES)
        except ssl.SSLCertVerificationError as error:
            raise NotOurs(
                f"{self._config.server} is not verified by the CA that was pinned: {error.verify_message}."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise OutOfReach(f"{self._config.server} cannot be reached: {error}") from error
        finally:
            connection.close()


def _sha256(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()


class Enrolment:
    """This host's way in, and what keeps it there."""

    def __init__(self, config: AgentConfig, identity: Identity, facts: Callable[[], HostFacts]) -> None:
        self._config, self._identity, self._facts = config, identity, facts
        self._desk = Desk(config, identity)
        self._name = config.host_name()

    async def enter(self) -> Place:
        """The place, at once where there is one; else ask and wait until somebody has signed.

        Raises NotOurs; everything else is tried again for ever.
        """
        await self._until_reached(self._desk.pin)
        if place := self._identity.place():
            return place
        began, told = asyncio.get_running_loop().time(), ""
        while True:
            answer, why = await self._asked()
            if answer is not None and answer.state == "signed":
                log.info("signed", name=self._name)
                return self._identity.take(answer, self._identity.make_key())
            if why != told:
                told = why
                log.info("waiting", name=self._name, server=self._config.server, why=why)
            waited = asyncio.get_running_loop().time() - began
            await asyncio.sleep(ASK_SECONDS if waited < PATIENT_AFTER_SECONDS else ASK_SLOWLY_SECONDS)

    async def _asked(self) -> tuple[EnrolAnswer | None, str]:
        """OMS's answer, and what to say about it."""
        key = self._identity.make_key()
        csr = enrolment.make_csr(key, self._name)
        try:
            answer = await self._desk.ask("/enrol", EnrolRequest(csr, msgspec.to_builtins(self._facts())))
        except (OutOfReach, Refusal) as failure:
            return None, str(failure)
        if answer.state == "refused":
            self._identity.throw_away()
            return None, answer.reason or "refused"
        return answer, f"to be signed there; this host's key is {answer.key_sha256}"

    async def thrown_out(self) -> bool:
        """The bus refuses us: whether OMS has removed this host. No where that cannot be told now."""
        csr = enrolment.make_csr(self._identity.signed_key.read_bytes(), self._name)
        try:
            answer = await self._desk.ask("/enrol", EnrolRequest(csr, msgspec.to_builtins(self._facts())))
        except (OutOfReach, Refusal) as failure:
            log.info("the bus refuses this host", why=str(failure))
            return False
        return answer.state != "signed"

    async def renew_in_time(self, renewed: Callable[[], None]) -> None:
        """Runs for ever: renews the certificate at two thirds of its life, and calls back."""
        while True:
            await asyncio.sleep(min(max(self._due(), 1), 3600))
            if self._due() <= 0 and await self.renew():
                renewed()

    def _due(self) -> float:
        begin, end = self._identity.life()
        return (enrolment.renew_at(begin, end, self._name) - now()).total_seconds()

    async def renew(self) -> bool:
        """Get the next certificate; False where that did not work now."""
        key = self._identity.make_next_key()
        csr = enrolment.make_csr(key, self._name)
        old, certificate = self._identity.signed_key.read_bytes(), self._identity.certificate.read_text()
        try:
            answer = await self._desk.ask("/enrol/renew", enrolment.sign_renewal(old, certificate, csr, now()))
            self._identity.take(answer, key)
        except (OutOfReach, Refusal) as failure:
            log.warning("the certificate was not renewed", why=str(failure), ends=str(self._identity.life()[1]))
            await asyncio.sleep(ASK_SLOWLY_SECONDS)
            return False
        log.info("certificate renewed", ends=str(self._identity.life()[1]))
        return True

    async def _until_reached(self, act: Callable[[], Any]) -> None:
        told = ""
        while True:
            try:
                await act()
            except OutOfReach as failure:
                if str(failure) != told:
                    told = str(failure)
                    log.info("waiting", why=told)
                await asyncio.sleep(ASK_SECONDS)
            else:
                return
