"""Sessions: how long they live, what ends them, and what of them is kept."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from oms.contract.errors import AuthError, DatabaseUpdateError
from oms.contract.operation import Permission
from oms.server.rules.sessions import Lifetime, alive
from oms.server.sessions import NOT_VALID, Sessions, digest
from oms.server.store import Store, tables
from tests.server import clock as clocks
from tests.server.clock import Clock
from tests.server.rig import Oms, Seed

IDLE, ABSOLUTE = 1800.0, 43_200.0
LIFETIME = Lifetime(IDLE, ABSOLUTE)


@pytest.fixture
async def store(seed: Seed, folder: Path) -> AsyncIterator[Store]:
    (folder / "oms.db").write_bytes((seed.folder / "server" / "oms.db").read_bytes())
    store = Store(f"sqlite:///{folder / 'oms.db'}")
    yield store
    store.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return clocks.put(monkeypatch, "oms.server.sessions", "oms.server.store.moments")


def door(store: Store) -> Sessions:
    """The sessions as a server that was just started knows them."""
    return Sessions(store, LIFETIME)


async def refused(sessions: Sessions, sessid: object) -> None:
    with pytest.raises(AuthError) as caught:
        await sessions.check(sessid)
    assert caught.value.message == NOT_VALID


async def rows(store: Store) -> int:
    return await store.read(
        lambda tx: tx.execute(sa.select(sa.func.count()).select_from(tables.sessions)).scalar_one()
    )


async def test_a_session_is_160_random_bits_of_which_only_the_digest_is_kept(store: Store, folder: Path) -> None:
    sessions = door(store)
    sessids = {await sessions.begin("admin", "192.0.2.1") for _ in range(50)}
    assert len(sessids) == 50
    assert all(re.fullmatch("[0-9A-F]{40}", sessid) for sessid in sessids)
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not [sessid for sessid in sessids if sessid.encode() in kept or sessid.lower().encode() in kept]


async def test_a_session_that_is_used_lives_to_its_absolute_end_and_no_further(store: Store, clock: Clock) -> None:
    sessions = door(store)
    sessid = await sessions.begin("admin", "192.0.2.1")
    uses = int(ABSOLUTE / IDLE)
    for _ in range(uses):
        clock.pass_(IDLE - 1)  # the test itself takes some time as well
        await sessions.check(sessid)
    clock.pass_(uses + 1)
    await refused(sessions, sessid)
    assert await rows(store) == 0


@pytest.mark.parametrize("remembered", [True, False])
async def test_a_session_ends_after_half_an_hour_without_a_call(
    store: Store, clock: Clock, remembered: bool
) -> None:
    sessions = door(store)
    sessid = await sessions.begin("admin", "192.0.2.1")
    if remembered:
        await sessions.check(sessid)
    clock.pass_(IDLE + 1)
    await refused(sessions, sessid)
    await refused(door(store), sessid)


async def test_a_session_survives_a_restart_of_the_server_but_its_age_does_too(store: Store, clock: Clock) -> None:
    sessid = await door(store).begin("admin", "192.0.2.1")
    clock.pass_(IDLE - 60)
    before = door(store)
    assert (await before.check(sessid)).user == "admin"
    await before.close()
    clock.pass_(IDLE - 60)
    assert (await door(store).check(sessid)).user == "admin"  # the use before the restart was written down
    clock.pass_(IDLE + 1)
    await refused(door(store), sessid)


@pytest.mark.parametrize("role", [Permission.VIEWER, Permission.OPERATOR])
async def test_a_change_of_role_is_seen_within_a_second(store: Store, clock: Clock, role: Permission) -> None:
    sessions = door(store)
    sessid = await sessions.begin("admin", "192.0.2.1")
    assert (await sessions.check(sessid)).role == Permission.ADMIN
    await store.write(lambda tx: tx.execute(sa.update(tables.users).values(role=int(role))))
    clock.pass_(1)
    assert (await sessions.check(sessid)).role == role


async def test_a_user_who_is_removed_is_out_within_a_second(store: Store, clock: Clock) -> None:
    sessions = door(store)
    sessid = await sessions.begin("operator", "192.0.2.1")
    await sessions.check(sessid)
    await store.write(lambda tx: tx.execute(sa.delete(tables.users).where(tables.users.c.name == "operator")))
    clock.pass_(1)
    await refused(sessions, sessid)


@pytest.mark.parametrize("remembered", [True, False])
async def test_a_clock_set_back_a_day_revives_no_session(store: Store, clock: Clock, remembered: bool) -> None:
    sessions = door(store)
    sessid = await sessions.begin("admin", "192.0.2.1")
    if remembered:
        await sessions.check(sessid)
    clock.pass_(IDLE + 1)
    clock.set_back(86_400)
    await refused(sessions if remembered else door(store), sessid)


@pytest.mark.parametrize("remembered", [True, False])
async def test_a_session_that_was_refused_stays_so_when_the_clock_is_set_back(
    store: Store, clock: Clock, remembered: bool
) -> None:
    sessions = door(store)
    sessid = await sessions.begin("admin", "192.0.2.1")
    if remembered:
        await sessions.check(sessid)
    clock.pass_(IDLE + 1)
    await refused(sessions, sessid)
    clock.set_back(600)
    await refused(sessions, sessid)
    await refused(door(store), sessid)


async def test_an_hour_of_use_counts_though_the_clock_is_set_back_by_little(store: Store, clock: Clock) -> None:
    sessions = door(store)
    sessid = await sessions.begin("admin", "192.0.2.1")
    await sessions.check(sessid)
    clock.pass_(IDLE + 1)
    clock.set_back(200)  # by the wall's clock the session would live
    await refused(sessions, sessid)


def test_a_session_from_the_future_is_not_alive() -> None:
    assert alive(LIFETIME, created=1000, used=1000, now=1000 - 299)
    assert not alive(LIFETIME, created=1000, used=1000, now=1000 - 301)
    assert not alive(LIFETIME, created=2000, used=1000, now=1600)


async def test_an_ended_session_is_over_at_once_everywhere(store: Store) -> None:
    sessions = door(store)
    sessid = await sessions.begin("admin", "192.0.2.1")
    await sessions.check(sessid)
    assert await sessions.end(sessid)
    assert not await sessions.end(sessid)
    await refused(sessions, sessid)
    await refused(door(store), sessid)


async def test_a_check_costs_the_database_one_question_a_second(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = door(store)
    sessid = await sessions.begin("admin", "192.0.2.1")
    asked = 0
    read = store.read

    async def counted(question: object) -> object:
        nonlocal asked
        asked += 1
        return await read(question)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "read", counted)
    for _ in range(20):
        clock.pass_(0.1)
        await sessions.check(sessid)
    assert asked <= 3


async def test_reading_goes_on_though_the_use_of_a_session_cannot_be_written(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = door(store)
    sessid = await sessions.begin("admin", "192.0.2.1")

    async def broken(_change: object) -> object:
        raise DatabaseUpdateError("It is read-only.")

    monkeypatch.setattr(store, "write", broken)
    clock.pass_(60)
    assert (await sessions.check(sessid)).user == "admin"
    clock.pass_(IDLE + 1)
    await refused(sessions, sessid)  # and the refusal is the same though its end cannot be written either


async def test_as_many_sessions_are_remembered_as_may(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.server.sessions.MOST_REMEMBERED", 3)
    sessions = door(store)
    sessids = [await sessions.begin("admin", "192.0.2.1") for _ in range(5)]
    for sessid in sessids:
        await sessions.check(sessid)
    assert len(sessions._known) == 3
    assert [(await sessions.check(sessid)).user for sessid in sessids] == ["admin"] * 5


@pytest.mark.parametrize(
    "wrong", [None, "", 0, -1, True, [], {}, "SESSID", "A" * 39, "a" * 40, "A" * 40 + "\n", "G" * 40, "A" * 10_240]
)
async def test_what_is_no_sessid_is_refused_without_asking_the_database(store: Store, wrong: object) -> None:
    store.close()
    await refused(door(store), wrong)
    assert not await door(store).end(wrong)


# --- over the wire


async def test_logging_in_out_and_asking(oms: Oms) -> None:
    sessid = await oms.login("admin")
    answer = await oms.call("authservices.checksessid", sessid)
    assert (answer["result"]["type"], answer["result"]["result"]) == ("auth", 0)
    answer = await oms.call("authservices.deauthenticate", sessid, by="GET")
    assert (answer["result"]["type"], answer["result"]["result"]) == ("auth", 0)
    assert (await oms.call("authservices.checksessid", sessid))["error"]["name"] == "AuthError"
    assert (await oms.call("authservices.deauthenticate", sessid))["error"]["name"] == "DeathError"


async def test_a_new_login_is_a_new_session_and_leaves_the_old_one(oms: Oms) -> None:
    first, second = await oms.login("admin"), await oms.login("admin")
    assert first != second
    for sessid in (first, second):
        assert (await oms.call("authservices.checksessid", sessid))["error"] is None


async def test_a_session_goes_on_after_a_restart(oms: Oms) -> None:
    sessid = await oms.login("viewer")
    await oms.restart()
    assert (await oms.call("authservices.checksessid", sessid))["error"] is None


async def test_sessions_that_nobody_can_use_are_thrown_away(oms: Oms) -> None:
    await oms.as_viewer()
    fresh = await oms.as_viewer()
    await oms.store.write(
        lambda tx: tx.execute(
            sa.update(tables.sessions).where(tables.sessions.c.digest != digest(fresh.sessid)).values(used=1)
        )
    )
    await oms.restart()  # which begins with tidying up
    for _ in range(6000):
        if await rows(oms.store) == 1:
            break
        await asyncio.sleep(0.01)
    assert await rows(oms.store) == 1
    await fresh.ask("authservices.checksessid")
