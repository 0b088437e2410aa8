"""How this host gets in and stays in: it asks, waits for a person to sign, and later renews by itself."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec
import structlog

from oms import systemd
from oms.agent.config import AgentConfig
from oms.agent.desk import Desk, OutOfReach
from oms.agent.identity import Identity, Place, is_at
from oms.bus import enrolment
from oms.bus.enrolment import EnrolAnswer, EnrolRequest, Refusal
from oms.bus.pinning import NotOurs
from oms.contract.internal import HostFacts

log = structlog.get_logger("oms.agent")
ASK_SECONDS = 2.0
ASK_SLOWLY_SECONDS = 15.0
PATIENT_AFTER_SECONDS = 120.0
LOOK_SECONDS = 3600.0
"""At least so often the time is compared: clocks are set, machines sleep."""
RENEW_AGAIN_SECONDS = 15.0
RENEW_SLOWLY_SECONDS = 600.0

Renewal = Literal["renewed", "later", "over"]
"""`over`: the certificate ended so long ago that only a person can let this host in again."""


def wall_clock() -> datetime:
    """The host's own time."""
    return datetime.now(UTC)


class Enrolment:
    """This host's way in, and what keeps it there."""

    def __init__(
        self,
        config: AgentConfig,
        identity: Identity,
        facts: Callable[[], HostFacts],
        now: Callable[[], datetime] = wall_clock,
    ) -> None:
        """`now`: OMS's time as far as it is known. A renewal is dated, and OMS takes none of another day."""
        self._config, self._identity, self._facts, self._now = config, identity, facts, now
        self._desk = Desk(config, identity)
        self._wanted_name = config.host_name()
        self._renewing = asyncio.Lock()
        self._request = (b"", "")
        self.waiting = ""
        """What it waits for, as told to people."""

    async def enter(self) -> Place:
        """The place, at once where there is one; else ask and wait until somebody has signed.

        Raises NotOurs; everything else is tried again for ever.
        """
        await self._until_reached(self._desk.pin)
        await self._until_reached(self._see_whose_place_it_is)
        if place := self._place():
            return place
        began = asyncio.get_running_loop().time()
        while True:
            entered, why = await self._asked()
            if entered is not None:
                log.info("signed", name=self._wanted_name, id=entered.host_id)
                return entered
            if why != self.waiting:
                self.waiting = why
                log.info("waiting", name=self._wanted_name, server=self._config.server, why=why)
                systemd.ready(f"waits: {why}")
            waited = asyncio.get_running_loop().time() - began
            await asyncio.sleep(ASK_SECONDS if waited < PATIENT_AFTER_SECONDS else ASK_SLOWLY_SECONDS)

    async def _see_whose_place_it_is(self) -> None:
        """Where OMS is known by another CA than before: keep the place that it gave if it is the same OMS, which
        knows this host. Raises OutOfReach, NotOurs."""
        place = self._identity.place()
        if place is None or place.known_by in ("", self._identity.pinned()):
            return
        key = self._identity.signed_key.read_bytes()
        try:
            answer = await self._ask_to_enter(enrolment.make_csr(key, self._identity.name()))
            if answer.state == "signed" and answer.host_id == place.host_id:
                self._identity.take(answer, key)
                log.info("OMS is known by another CA now, and still knows this host")
                return
        except Refusal as refusal:
            log.warning("this host is refused", why=str(refusal))
        log.warning("this host was signed by another OMS: it asks the one it is told of now")
        self._identity.leave()

    def _place(self) -> Place | None:
        """The place kept here."""
        place = self._identity.place()
        if place is not None and (name := self._identity.name()) != self._wanted_name:
            log.warning("this host is signed under another name and keeps it until it is removed", name=name)
        return place

    async def _asked(self) -> tuple[Place | None, str]:
        """The place if OMS gives one; else what to say about it."""
        key = self._identity.make_key()
        try:
            answer = await self._ask_to_enter(self._csr(key))
            if answer.state == "signed":
                return self._identity.take(answer, key), ""
        except (OutOfReach, Refusal, ValueError) as failure:
            return None, str(failure)
        if answer.state == "refused":
            self._identity.throw_away()
            return None, answer.reason or "refused"
        return None, f"to be signed there; this host's key is {answer.key_sha256}"

    def _csr(self, key: bytes) -> str:
        """The same request for the same key: what a person looks at must not change before it is signed."""
        if self._request[0] != key:
            self._request = (key, enrolment.make_csr(key, self._wanted_name))
        return self._request[1]

    async def _ask_to_enter(self, csr: str) -> EnrolAnswer:
        return await self._desk.ask("/enrol", EnrolRequest(csr, msgspec.to_builtins(self._facts())))

    async def thrown_out(self) -> bool:
        """The bus refuses us, or is away: whether OMS has removed this host. No where that cannot be told now.

        Where a renewal's answer was lost, OMS knows our next key and not our present one: that is finished first.
        Where OMS has its bus elsewhere now, so has the place from then on.
        """
        if self._identity.next_key.exists() and await self.renew() == "renewed":
            return False
        async with self._renewing:  # what is asked about must not be replaced meanwhile
            key, place = self._identity.signed_key.read_bytes(), self._identity.place()
            try:
                answer = await self._ask_to_enter(enrolment.make_csr(key, self._identity.name()))
                if answer.state == "signed" and place is not None and not is_at(place, answer):
                    self._identity.take(answer, key)
            except (OutOfReach, NotOurs, Refusal) as failure:
                log.info("the bus cannot be used by this host", why=str(failure))
                return False
        return answer.state != "signed"

    async def renew_in_time(self, renewed: Callable[[], None], over: Callable[[], None]) -> None:
        """Runs until it is over: renews the certificate at two thirds of its life, and calls back."""
        again = RENEW_AGAIN_SECONDS
        while True:
            await asyncio.sleep(min(max(self._due(), 0.05), LOOK_SECONDS))
            if self._due() > 0:
                continue
            match await self.renew():
                case "renewed":
                    again = RENEW_AGAIN_SECONDS
                    renewed()
                case "later":
                    await asyncio.sleep(again * random.uniform(0.5, 1))  # noqa: S311 - jitter
                    again = min(again * 2, RENEW_SLOWLY_SECONDS)
                case "over":
                    return over()

    def _due(self) -> float:
        begin, end = self._identity.life()
        return (enrolment.renew_at(begin, end, self._identity.name()) - self._now()).total_seconds()

    async def renew(self) -> Renewal:
        """Get the next certificate."""
        async with self._renewing:
            # Kept before it is sent: should the answer be lost, the same question brings the same answer.
            key = self._identity.make_next_key()
            end = self._identity.life()[1]
            try:
                self._identity.take(await self._ask_to_renew(key), key)
            except (OutOfReach, NotOurs, ValueError) as failure:
                over = isinstance(failure, Refusal) and not enrolment.may_renew(end, self._now())
                log.warning("the certificate was not renewed", why=str(failure), ends=end.isoformat())
                return "over" if over else "later"
        log.info("certificate renewed", ends=self._identity.life()[1].isoformat())
        return "renewed"

    async def _ask_to_renew(self, key: bytes) -> EnrolAnswer:
        csr = enrolment.make_csr(key, self._identity.name())
        old, certificate = self._identity.signed_key.read_bytes(), self._identity.certificate.read_text()
        return await self._desk.ask("/enrol/renew", enrolment.sign_renewal(old, certificate, csr, self._now()))

    async def _until_reached(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await act()
            except OutOfReach as failure:
                if str(failure) != self.waiting:
                    self.waiting = str(failure)
                    log.info("waiting", why=self.waiting)
                    systemd.ready(f"waits: {self.waiting}")
            await asyncio.sleep(ASK_SECONDS)
