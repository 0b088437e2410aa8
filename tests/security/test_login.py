"""What a login tells of users, what it costs, how often it may be tried, and that nobody gets in by default."""

import asyncio
import collections
import contextlib
import re
import statistics
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from oms.server import admin, passwords
from oms.server.rules.addresses import neighbourhood
from oms.server.rules.guessing import Guesses, Limits
from oms.server.services.auth import LOCKED, WRONG
from oms.server.sessions import digest
from oms.server.store import Store, users
from tests.security.attack import Attack
from tests.server.asgi import ADDRESS
from tests.server.rig import PASSWORD, CallError, Oms, Seed

LOGIN = "authservices.authenticate"


@pytest.fixture
async def quick(seed: Seed, folder: Path) -> AsyncIterator[Oms]:
    """A server that answers a wrong password as soon as it can, and locks nobody."""
    async with Oms(seed, folder, login_delay=0, login_tries=10_000) as running:
        yield running


class Hashes:
    """What was hashed: how many at once, and with which settings of argon2."""

    def __init__(self, verify: Callable[[str, str], bool]) -> None:
        self._verify = verify
        self._lock = threading.Lock()
        self._now = self.most = 0
        self.settings: list[str] = []

    def __call__(self, kept: str, password: str) -> bool:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.settings.append(kept.rpartition("$")[0].rpartition("$")[0])
        try:
            return self._verify(kept, password)
        finally:
            with self._lock:
                self._now -= 1


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Hashes:
    seen = Hashes(passwords._verify)
    monkeypatch.setattr(passwords, "_verify", seen)
    return seen


async def test_a_login_of_nobody_is_refused_in_the_words_and_by_the_work_of_a_wrong_password(
    quick: Oms, hashes: Hashes
) -> None:
    told = set()
    async with Attack(quick) as attack:
        for name in (
            "admin",
            "nobody",
            "ADMIN ",
            "",
            "admin\0",
            "\x1b[2J",
            "' OR 1=1 --",
            "a" * 1024,
            "ａｄｍｉｎ",
        ):
            error = await attack.refused(LOGIN, [name, "wrong"])
            told.add((error["name"], error["message"], str(error["data"])))
    assert told == {("AuthError", WRONG, "{}")}
    assert hashes.settings == ["$argon2id$v=19$m=19456,t=2,p=1"] * 9


async def test_a_login_of_nobody_takes_as_long_as_one_of_somebody(quick: Oms) -> None:
    """By turns, so that whatever else this machine does slows both down. Without the same work for both, the
    quicker one would take a thirtieth of the time."""
    took: dict[str, list[float]] = collections.defaultdict(list)
    for _ in range(15):
        for name in ("admin", "nobody"):
            began = time.perf_counter()
            await quick.call(LOGIN, name, "wrong")
            took[name].append(time.perf_counter() - began)
    known, unknown = (statistics.median(took[name]) for name in ("admin", "nobody"))
    assert 0.3 < known / unknown < 3


async def test_a_flood_of_logins_costs_two_hashes_at_once_and_the_rest_is_refused_clearly(
    quick: Oms, hashes: Hashes
) -> None:
    async def login(number: int) -> str:
        try:
            await quick.login("admin", "wrong", address=f"192.0.2.{number % 200}")
        except CallError as error:
            return f"{error.name} {error.data.get('reason', '')}"
        raise AssertionError("a wrong password was right")

    told = collections.Counter(await asyncio.gather(*(login(number) for number in range(300))))
    assert told == {"AuthError ": passwords.MOST_WAITING, "FuncManError logins_busy": 300 - passwords.MOST_WAITING}
    assert hashes.most == 2
    assert len(hashes.settings) == passwords.MOST_WAITING
    assert await quick.login("admin")


async def test_whoever_floods_keeps_out_nobody_elsewhere(quick: Oms) -> None:
    async def login(number: int) -> None:
        await quick.call(LOGIN, f"user{number}", "wrong", address=f"2001:db8::{number:x}")

    flood = [asyncio.create_task(login(number)) for number in range(300)]
    await asyncio.sleep(0)
    began = time.monotonic()
    assert await quick.login("admin", address="2001:db8:0:1::1")
    assert time.monotonic() - began < 5  # in its turn: after those few of the flood that wait
    await asyncio.gather(*flood)


async def test_a_login_that_was_not_tried_is_not_counted(seed: Seed, folder: Path) -> None:
    async with Oms(seed, folder, login_delay=0, login_tries=3) as oms:
        with contextlib.ExitStack() as taken:
            for _ in range(passwords.MOST_OF_ONE_ADDRESS):
                taken.enter_context(passwords.place(ADDRESS))
            for _ in range(10):
                with pytest.raises(CallError, match="this one was not tried"):
                    await oms.login("admin", "wrong")
        assert await oms.login("admin")


async def test_twenty_guesses_under_any_spelling_are_ten_and_somebody_elsewhere_still_enters(oms: Oms) -> None:
    spellings = ("admin", "Admin ", "ADMIN", "\tadmin", "aDMIN\n")
    here = [f"2001:db8::{number:x}" for number in range(1, 21)]  # one machine has as many addresses as it likes
    said = [
        (await oms.call(LOGIN, spellings[number % 5], "wrong", address=address))["error"]["message"]
        for number, address in enumerate(here)
    ]
    assert said == [WRONG] * 10 + [LOCKED] * 10
    with pytest.raises(CallError, match="Too many wrong tries"):
        await oms.login("admin", address="2001:db8::ffff:1")
    assert await oms.login("admin", address="2001:db8:0:1::1")


def test_nobody_gets_his_guesses_forgotten_by_guessing_many_names() -> None:
    """At 50 hashes a second, which two at once can do, from one address, within the rest."""
    limits = Limits()
    guesses = Guesses(limits)
    for _ in range(limits.tries):
        assert guesses.begin("admin", "192.0.2.1", 0)
    for number in range(int(50 * limits.lock_seconds)):
        guesses.begin(f"user{number}", "192.0.2.1", number / 50)
    assert not guesses.begin("admin", "192.0.2.1", limits.lock_seconds - 1)


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_an_ipv6_caller_is_known_by_his_network(address: str, whose: str) -> None:
    assert neighbourhood(address) == whose


async def test_no_client_brings_its_own_session_id(oms: Oms) -> None:
    brought = "0123456789ABCDEF0123456789ABCDEF01234567"
    for headers in ({"cookie": f"SESSID={brought}"}, {"authorization": f"Bearer {brought}"}, {"sessid": brought}):
        given = await oms.login("admin", headers=headers)
        assert re.fullmatch("[0-9A-F]{40}", given)
        assert given != brought
    reply = await oms.reply(LOGIN, {"username": "admin", "password": PASSWORD, "SESSID": brought})
    assert reply.json["error"]["data"] == {"parameter": "SESSID"}
    assert (await oms.call("authservices.checksessid", brought))["error"]["name"] == "AuthError"
    kept = await oms.store.read(lambda tx: tx.exec_driver_sql("SELECT digest FROM sessions").scalars().all())
    assert len(set(kept)) == 3
    assert digest(brought) not in kept


WELL_KNOWN = [
    (name, password)
    for name in ("admin", "root", "oms", "opennode")
    for password in ("", name, "password", "changeme", "opennode")
]


async def test_a_fresh_server_has_no_user_and_takes_no_well_known_password(seed: Seed, folder: Path) -> None:
    fresh = Oms(seed, folder, login_delay=0, login_tries=10_000)
    for path in fresh.config.home.glob("oms.db*"):
        path.unlink()
    store = Store(fresh.config.database_url)
    store.migrate()
    assert not store.transaction(users.anybody)
    store.close()
    async with fresh as oms:
        assert await _entered(oms) == []
        invented = await asyncio.to_thread(admin.first_user, oms.store, None)
        assert re.fullmatch("[0-9a-f]{30}", invented or "")
        assert await _entered(oms) == []
        assert await oms.login("admin", invented or "")


async def _entered(oms: Oms) -> list[tuple[str, str]]:
    answers = [(pair, await oms.call(LOGIN, *pair)) for pair in WELL_KNOWN]
    return [pair for pair, answer in answers if answer["error"] is None]
