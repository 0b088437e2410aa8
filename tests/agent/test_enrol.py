"""A host gets in by a pinned fingerprint and a person's signature, stays in by renewing, and knows when it is
out."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from oms.agent.config import AgentConfig
from oms.agent.enrol import Enrolment, wall_clock
from oms.agent.identity import Identity, Place
from oms.bus import enrolment
from oms.bus.enrolment import EnrolAnswer
from oms.bus.pinning import NotOurs
from oms.client import Client, OutOfReach
from oms.contract.internal import HostFacts
from oms.server.ca import authority
from oms.server.ca.keystore import KeyStore
from oms.server.store import hosts
from tests.server.door import REMOVE, SIGN, Door, serving
from tests.server.rig import Seed
from tests.waiting import eventually

FACTS = HostFacts("1.0", hypervisors=("kvm",))
pytestmark = pytest.mark.usefixtures("quick")


class Agent:
    """What an agent has of its way in."""

    def __init__(
        self, door: Door, home: Path, *, now: Callable[[], datetime] = wall_clock, **settings: Any
    ) -> None:
        given = {"server": door.url, "ca_sha256": door.server.ca_sha256, "name": "h1", **settings}
        self.config = AgentConfig(data=home, **given)
        self.identity = Identity(self.config.home)
        self.identity.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.enrolment = Enrolment(self.config, self.identity, lambda: FACTS, now)

    async def enter(self, within: float = 60) -> Place:
        async with asyncio.timeout(within):
            return await self.enrolment.enter()


async def signed(door: Door, home: Path) -> Agent:
    agent = Agent(door, home)
    await asyncio.gather(agent.enter(), door.sign())
    return agent


# --- getting in


async def test_a_host_waits_until_it_is_signed_and_has_all_it_needs_then(door: Door, tmp_path: Path) -> None:
    agent = Agent(door, tmp_path)
    entering = asyncio.create_task(agent.enter())
    await eventually(lambda: "/enrol" in door.asked)
    await asyncio.sleep(0.1)
    requests = await door.oms.store.read(lambda tx: hosts.requests_named(tx, "h1"))
    await eventually(lambda: door.asked.count("/enrol") > 5)
    assert await door.oms.store.read(lambda tx: hosts.requests_named(tx, "h1")) == requests
    assert await door.listed() == ["h1"]
    assert not entering.done()
    await door.people(SIGN, "h1")
    place = await entering
    assert place.bus == "127.0.0.1:4222"
    assert place == agent.identity.place()
    for file in tmp_path.rglob("*.pem"):
        assert file.stat().st_mode & 0o077 == 0, file
    context = ssl.create_default_context(cafile=str(agent.identity.server_ca))
    context.load_cert_chain(agent.identity.certificate, agent.identity.signed_key)
    asked = len(door.asked)
    assert await Agent(door, tmp_path).enter() == place  # the next start asks nobody
    assert len(door.asked) == asked


async def test_a_restart_while_waiting_asks_with_the_same_key(door: Door, tmp_path: Path) -> None:
    asking = asyncio.create_task(Agent(door, tmp_path).enter())
    await eventually(lambda: "/enrol" in door.asked)
    await ended(asking)
    key = (tmp_path / "agent" / "key.pem").read_bytes()
    agent = await signed(door, tmp_path)
    assert agent.identity.signed_key.read_bytes() == key
    assert await door.listed("list_signed") == ["h1"]


async def test_another_fingerprint_is_refused_and_nothing_is_sent(door: Door, tmp_path: Path) -> None:
    agent = Agent(door, tmp_path, ca_sha256="ab" * 32)
    with pytest.raises(NotOurs) as refused:
        await agent.enter()
    assert door.server.ca_sha256 in str(refused.value)
    assert "ab" * 32 in str(refused.value)
    assert door.asked == ["/ca.pem"]
    assert not agent.identity.key.exists()


async def test_without_a_fingerprint_nobody_is_trusted_and_nobody_asked(door: Door, tmp_path: Path) -> None:
    with pytest.raises(NotOurs, match="--ca-sha256"):
        await Agent(door, tmp_path, ca_sha256="").enter()
    assert door.asked == []


async def test_a_fingerprint_may_be_written_as_people_write_it(door: Door, tmp_path: Path) -> None:
    digits = door.server.ca_sha256.upper()
    written = ":".join(digits[place : place + 2] for place in range(0, 64, 2))
    agent = Agent(door, tmp_path, ca_sha256=f" {written} ")
    await asyncio.gather(agent.enter(), door.sign())


async def test_a_ca_file_serves_as_well_and_must_fit_a_fingerprint(door: Door, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(door.server.web_ca)
    with pytest.raises(NotOurs, match="not the OMS that was meant"):
        await Agent(door, tmp_path, ca_file=file, ca_sha256="ab" * 32).enter()
    agent = Agent(door, tmp_path, ca_file=file, ca_sha256="")
    await asyncio.gather(agent.enter(), door.sign())
    assert "/ca.pem" not in door.asked
    file.write_text("no certificate")
    with pytest.raises(NotOurs, match="no CA certificate"):
        await agent.enter()


async def test_somebody_with_the_right_ca_page_but_another_certificate_is_not_believed(
    door: Door, tmp_path: Path
) -> None:
    """A man in the middle can copy the CA's certificate, but not speak in its name."""
    async with known_by_another_ca(door, tmp_path) as (false, _):
        agent = Agent(false, tmp_path)
        with pytest.raises(NotOurs, match="not verified"):
            await agent.enter()
        assert false.asked == ["/ca.pem"]


async def test_a_name_that_oms_does_not_answer_to_is_told(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *how, **more: known("127.0.0.1", *how, **more))
    agent = Agent(door, tmp_path, server=door.url.replace("127.0.0.1", "other.example"))
    entering = asyncio.create_task(agent.enter())
    await eventually(lambda: "does not answer to that name: see its setting `names`" in agent.enrolment.waiting)
    await ended(entering)
    with pytest.raises(OutOfReach, match="does not answer to that name: see its setting `names`"):
        async with Client(agent.config.server, ca_sha256=door.server.ca_sha256):
            pass


def ip(text: str) -> Any:
    return enrolment.ip_address(text)


async def test_a_server_that_is_away_or_hangs_is_waited_for(door: Door, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimeoutError):
            await Agent(door, tmp_path, server=url).enter(within=0.3)
    with pytest.raises(TimeoutError):
        await Agent(door, tmp_path, server=url).enter(within=0.3)
    await signed(door, tmp_path)


async def test_a_request_that_was_dropped_is_made_again(door: Door, tmp_path: Path) -> None:
    entering = asyncio.create_task(Agent(door, tmp_path).enter())
    await eventually(lambda: "/enrol" in door.asked)
    await asyncio.sleep(0.1)
    await door.people("funcservices.remove_requests", "h1")
    await door.sign()
    await entering


# --- getting out


async def test_a_host_that_was_removed_knows_it_and_asks_with_a_new_key(door: Door, tmp_path: Path) -> None:
    agent = await signed(door, tmp_path)
    first, key = agent.identity.place(), agent.identity.signed_key.read_bytes()
    assert not await agent.enrolment.thrown_out()
    await door.people(REMOVE, "h1")
    assert await agent.enrolment.thrown_out()
    assert await door.listed() == []  # the old key is never listed again
    agent.identity.throw_away()
    assert {file.name for file in agent.identity.home.iterdir()} == {"ca.pem"}
    place, _ = await asyncio.gather(agent.enter(), door.sign())
    assert first is not None
    assert place.host_id != first.host_id
    assert agent.identity.signed_key.read_bytes() != key


async def test_a_host_that_was_removed_while_it_waited_to_ask_makes_a_new_key(door: Door, tmp_path: Path) -> None:
    agent = await signed(door, tmp_path)
    key = agent.identity.key.read_bytes()
    await door.people(REMOVE, "h1")
    (agent.identity.home / "current").unlink()  # the crash came between the two halves of throwing away
    await asyncio.gather(agent.enter(), door.sign())
    assert agent.identity.key.read_bytes() != key


async def test_as_long_as_oms_cannot_say_so_a_host_is_not_out(door: Door, tmp_path: Path) -> None:
    agent = await signed(door, tmp_path)
    await door.people(REMOVE, "h1")
    away = Agent(door, tmp_path, server="https://127.0.0.1:1")
    assert not await away.enrolment.thrown_out()
    agent.identity.ca.write_text(authority.pem(authority.create("server", datetime.now(UTC)).certificate))
    assert not await agent.enrolment.thrown_out()


@contextlib.asynccontextmanager
async def known_by_another_ca(door: Door, folder: Path) -> AsyncIterator[tuple[Door, Path]]:
    """OMS with a certificate of somebody else's CA, as the settings may give it one; and that CA."""
    key, now, file = enrolment.make_key(), datetime.now(UTC), folder / "other.crt"
    other = authority.create("server", now)
    made = authority.issue_server(other, enrolment.public_key(key), ["localhost"], [ip("127.0.0.1")], now)
    file.write_text(authority.pem(other.certificate))
    door.server.web.certificate.write_text(authority.pem(made))
    door.server.web.key.write_bytes(key)
    async with serving(door.oms, door.server) as anew:
        yield anew, file


async def test_a_host_stays_where_its_oms_has_another_certificate(door: Door, tmp_path: Path) -> None:
    agent = await signed(door, tmp_path)
    before, key = agent.identity.place(), agent.identity.key.read_bytes()
    assert before is not None
    async with known_by_another_ca(door, tmp_path) as (anew, file):
        moved = Agent(anew, tmp_path, ca_file=file, ca_sha256="")
        place = await moved.enter()
        assert (place.host_id, place.bus) == (before.host_id, before.bus)
        assert place.known_by == moved.identity.pinned() != before.known_by
        assert moved.identity.signed_key.read_bytes() == key
        assert await moved.enrolment.renew() == "renewed"
        assert await door.listed() == []


async def test_a_host_that_is_told_of_another_oms_asks_that_one(door: Door, tmp_path: Path) -> None:
    agent = await signed(door, tmp_path)
    await door.people(REMOVE, "h1")  # an OMS that does not know it
    async with known_by_another_ca(door, tmp_path) as (anew, file):
        moved = Agent(anew, tmp_path, ca_file=file, ca_sha256="")
        asking = asyncio.create_task(moved.enter())
        await eventually(lambda: agent.identity.place() is None)
        await anew.sign()
        await asking
        assert await door.listed("list_signed") == ["h1"]


# --- renewing


async def aged(door: Door, agent: Agent, seed: Seed, days: float) -> None:
    """The host as if it had been signed so many days ago, for 90 days."""
    place, key = agent.identity.place(), agent.identity.signed_key.read_bytes()
    assert place is not None
    with KeyStore(seed.folder / "signer") as keys:
        ca = keys.authorities(datetime.now(UTC)).host
    begin = datetime.now(UTC) - timedelta(days=days)
    old = enrolment.read_certificate(agent.identity.certificate.read_text())
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), 7, begin, begin + timedelta(days=90)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    made = builder.sign(ca.key, hashes.SHA256())
    await door.oms.store.write(
        lambda tx: hosts.renew(
            tx,
            place.host_id,
            key_sha256=enrolment.key_sha256(key),
            certificate=authority.pem(made),
            certificate_sha256=enrolment.fingerprint(made),
            not_after=made.not_valid_after_utc.timestamp(),
        )
    )
    agent.identity.take(
        EnrolAnswer(
            state="signed",
            key_sha256="",
            host_id=place.host_id,
            certificate=authority.pem(made),
            server_ca=agent.identity.server_ca.read_text(),
            bus_url=f"tls://{place.bus}",
        ),
        key,
    )


async def kept_up(agent: Agent) -> tuple[str, asyncio.Task[None]]:
    """What the agent's keeping of its certificate comes to: `renewed` or `over`."""
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        agent.enrolment.renew_in_time(lambda: said.set_result("renewed"), lambda: said.set_result("over"))
    )
    async with asyncio.timeout(30):
        return await said, task


async def ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("days", [65, 95, 119])  # in time; five days over; a day before the grace ends
async def test_a_certificate_is_renewed_with_a_new_key_before_and_after_its_end(
    door: Door, tmp_path: Path, seed: Seed, days: float
) -> None:
    agent = await signed(door, tmp_path)
    await aged(door, agent, seed, days)
    place, key = agent.identity.place(), agent.identity.signed_key.read_bytes()
    said, task = await kept_up(agent)
    assert said == "renewed"
    assert agent.identity.place() == place
    assert agent.identity.signed_key.read_bytes() == agent.identity.key.read_bytes() != key
    assert agent.identity.life()[1] > datetime.now(UTC) + timedelta(days=80)
    assert not await agent.enrolment.thrown_out()
    await asyncio.sleep(0.1)
    assert door.asked.count("/enrol/renew") == 1  # and not again and again
    await ended(task)


async def test_nothing_is_renewed_before_its_time(door: Door, tmp_path: Path, seed: Seed) -> None:
    agent = await signed(door, tmp_path)
    await aged(door, agent, seed, 50)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await agent.enrolment.renew_in_time(lambda: None, lambda: None)
    assert "/enrol/renew" not in door.asked


async def test_a_certificate_that_ended_too_long_ago_needs_a_person(
    door: Door, tmp_path: Path, seed: Seed
) -> None:
    agent = await signed(door, tmp_path)
    await aged(door, agent, seed, 121)
    said, task = await kept_up(agent)
    assert said == "over"
    await task


@pytest.mark.parametrize("how", ["by the clock", "by a refusal of the bus"])
async def test_a_renewal_whose_answer_was_lost_is_finished_with_the_same_key(
    door: Door, tmp_path: Path, seed: Seed, how: str
) -> None:
    agent = await signed(door, tmp_path)
    await aged(door, agent, seed, 70)
    door.lose = 1
    assert await agent.enrolment.renew() == "later"
    assert door.asked.count("/enrol/renew") == 1
    agent = Agent(door, tmp_path)  # and the agent was started anew in between
    if how == "by the clock":
        said, task = await kept_up(agent)
        assert said == "renewed"
        await ended(task)
    else:
        assert not await agent.enrolment.thrown_out()
    assert agent.identity.life()[1] > datetime.now(UTC) + timedelta(days=80)
    assert not agent.identity.next_key.exists()
    assert await door.listed() == []
    assert await door.listed("list_signed") == ["h1"]


async def test_a_renewal_is_dated_by_omss_clock(door: Door, tmp_path: Path, seed: Seed) -> None:
    agent = await signed(door, tmp_path)
    await aged(door, agent, seed, 70)
    wrong = Agent(door, tmp_path, now=lambda: datetime.now(UTC) + timedelta(hours=3))
    assert await wrong.enrolment.renew() == "later"
    assert await agent.enrolment.renew() == "renewed"


async def test_while_oms_is_away_renewal_is_tried_again(door: Door, tmp_path: Path, seed: Seed) -> None:
    agent = await signed(door, tmp_path)
    await aged(door, agent, seed, 70)
    await door.oms.stop_signer()
    before = door.asked.count("/enrol/renew")
    renewing = asyncio.create_task(agent.enrolment.renew_in_time(lambda: None, lambda: None))
    await eventually(lambda: door.asked.count("/enrol/renew") >= before + 2)
    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)
    assert agent.identity.place() is not None


async def test_another_name_in_the_settings_changes_nothing_for_a_signed_host(
    door: Door, tmp_path: Path, seed: Seed
) -> None:
    agent = await signed(door, tmp_path)
    await aged(door, agent, seed, 70)
    renamed = Agent(door, tmp_path, name="h2")
    assert await renamed.enter() == agent.identity.place()
    assert await renamed.enrolment.renew() == "renewed"
    assert not await renamed.enrolment.thrown_out()


# --- what is on the disk


async def test_an_identity_that_was_broken_off_half_way_is_mended(door: Door, tmp_path: Path) -> None:
    agent = await signed(door, tmp_path)
    place = agent.identity.place()
    agent.identity.next_key.write_bytes(agent.identity.signed_key.read_bytes())
    agent.identity.key.write_bytes(enrolment.make_key())
    assert agent.identity.place() == place
    assert agent.identity.key.read_bytes() == agent.identity.signed_key.read_bytes()
    assert not agent.identity.next_key.exists()


async def test_an_identity_that_is_damaged_is_asked_for_again(door: Door, tmp_path: Path) -> None:
    agent = await signed(door, tmp_path)
    place = agent.identity.place()
    damages = [
        (file, what) for file in ("certificate.pem", "key.pem", "place.json") for what in (b"", b"\xff", b"{}")
    ]
    damages.append(("key.pem", enrolment.make_key()))
    for file, content in damages:
        (agent.identity.home / "current" / file).write_bytes(content)
        assert agent.identity.place() is None, (file, content)
        assert await Agent(door, tmp_path).enter() == place
    for file in ("certificate.pem", "key.pem", "place.json", "server-ca.pem"):
        (agent.identity.home / "current" / file).unlink()
        assert await Agent(door, tmp_path).enter() == place


async def test_only_the_newest_place_is_kept(door: Door, tmp_path: Path, seed: Seed) -> None:
    agent = await signed(door, tmp_path)
    await aged(door, agent, seed, 70)
    (agent.identity.home / "a-left").mkdir()  # by a crash
    assert await agent.enrolment.renew() == "renewed"
    assert len(list(agent.identity.home.glob("a-*"))) == 1


def test_a_certificate_for_another_key_is_not_taken(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = authority.create("host", now)
    made = authority.issue_host(ca, "h1", enrolment.public_key(enrolment.make_key()), 90, now)
    answer = EnrolAnswer(
        state="signed",
        key_sha256=hashlib.sha256(b"").hexdigest(),
        host_id="1" * 32,
        certificate=authority.pem(made),
        server_ca=authority.pem(ca.certificate),
        bus_url="tls://x:1",
    )
    with pytest.raises(enrolment.Refusal, match="another key"):
        Identity(tmp_path).take(answer, enrolment.make_key())
    assert list(tmp_path.iterdir()) == []
