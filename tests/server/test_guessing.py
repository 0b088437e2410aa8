"""How often passwords may be guessed, and what a login tells of users."""

import asyncio
import time
from pathlib import Path

import pytest

from oms.contract.errors import DatabaseConnectionError
from oms.server import passwords
from oms.server.rules.guessing import Guesses, Limits
from oms.server.services.auth import LOCKED, WRONG
from tests.server.rig import PASSWORD, CallError, Oms, Seed

HERE, THERE = "192.0.2.1", "192.0.2.2"
LIMITS = Limits(tries=3, lock_seconds=100, delay_seconds=0)


def test_so_many_wrong_tries_then_a_rest_then_as_many_again() -> None:
    guesses = Guesses(LIMITS)
    assert [guesses.begin("admin", HERE, now) for now in (0, 1, 2, 3, 50, 101.9)] == [True] * 3 + [False] * 3
    assert [guesses.begin("admin", HERE, now) for now in (102, 103, 104, 105)] == [True] * 3 + [False]


def test_tries_while_locked_do_not_lengthen_the_rest() -> None:
    guesses = Guesses(LIMITS)
    for now in range(100):
        guesses.begin("admin", HERE, now)
    assert guesses.begin("admin", HERE, 102)


def test_a_right_password_forgets_the_wrong_ones() -> None:
    guesses = Guesses(LIMITS)
    for _ in range(10):
        assert guesses.begin("admin", HERE, 0)
        assert guesses.begin("admin", HERE, 0)
        guesses.right("admin", HERE)


def test_who_guesses_locks_himself_out_and_not_the_user() -> None:
    guesses = Guesses(LIMITS)
    for _ in range(4):
        guesses.begin("admin", HERE, 0)
    assert not guesses.begin("admin", HERE, 0)
    assert guesses.begin("admin", THERE, 0)
    assert guesses.begin("viewer", HERE, 0)


@pytest.mark.parametrize("written", ["Admin", "ADMIN ", " admin", "\tadmin\n"])
def test_another_way_to_write_a_name_is_no_other_name(written: str) -> None:
    guesses = Guesses(LIMITS)
    for _ in range(3):
        guesses.begin(written, HERE, 0)
    assert not guesses.begin("admin", HERE, 0)


def test_what_is_remembered_is_bounded() -> None:
    guesses = Guesses(LIMITS, most=10)
    for number in range(1000):
        guesses.begin(f"user{number}", HERE, 0)
    assert len(guesses._tries) == 10


async def test_a_password_matches_itself_alone_and_an_unknown_user_has_none() -> None:
    kept = passwords.hashed(PASSWORD)
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept
    assert await passwords.matches(kept, PASSWORD)
    assert not await passwords.matches(kept, PASSWORD + " ")
    assert not await passwords.matches(kept, "")
    assert not await passwords.matches(None, PASSWORD)
    assert not await passwords.matches("no hash at all", PASSWORD)


def test_an_invented_password_is_not_invented_twice() -> None:
    assert len({passwords.invented() for _ in range(100)}) == 100
    assert len(passwords.invented()) == 30


async def wrong(oms: Oms, name: str, password: str = "wrong", **more: str) -> str:
    with pytest.raises(CallError) as caught:
        await oms.login(name, password, **more)
    assert caught.value.name == "AuthError"
    return caught.value.message


async def test_after_ten_wrong_passwords_the_right_one_is_refused_here_and_taken_elsewhere(oms: Oms) -> None:
    said = await asyncio.gather(*(wrong(oms, "admin", address=HERE) for _ in range(12)))
    assert sorted(said) == sorted([WRONG] * 10 + [LOCKED] * 2)
    assert await wrong(oms, "admin", PASSWORD, address=HERE) == LOCKED
    assert await oms.login("admin", address=THERE)


@pytest.mark.parametrize("broken", ["read", "write"])
async def test_what_could_not_be_looked_at_was_no_try(
    oms: Oms, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """The database is away, or its disk is full; when that is over, nobody is locked out."""

    async def away(*_: object) -> None:
        raise DatabaseConnectionError("The database is away.")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(oms.store, broken, away)
        for _ in range(11):
            with pytest.raises(CallError, match="The database is away"):
                await oms.login("admin")
    assert await oms.login("admin")


async def test_an_unknown_user_is_locked_like_a_known_one(oms: Oms) -> None:
    said = await asyncio.gather(*(wrong(oms, "nobody", address=HERE) for _ in range(12)))
    assert sorted(said) == sorted([WRONG] * 10 + [LOCKED] * 2)


async def test_a_locked_try_costs_no_hash(oms: Oms, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(*(wrong(oms, "admin", address=HERE) for _ in range(10)))

    async def hashed(_kept: object, _password: object) -> bool:
        raise AssertionError("a hash was computed")

    monkeypatch.setattr(passwords, "matches", hashed)
    assert await wrong(oms, "admin", address=HERE) == LOCKED


async def test_every_wrong_answer_is_late_and_a_right_one_is_not(seed: Seed, folder: Path) -> None:
    async with Oms(seed, folder, login_delay=0.4, login_tries=1) as oms:
        for name, expected in (("admin", WRONG), ("nobody", WRONG), ("admin", LOCKED)):
            began = time.monotonic()
            assert await wrong(oms, name, address=HERE) == expected
            assert time.monotonic() - began >= 0.4
        began = time.monotonic()
        await oms.login("admin", address=THERE)
        assert time.monotonic() - began < 0.4


async def test_names_are_compared_without_regard_to_case_and_blanks_around(oms: Oms) -> None:
    for name in ("admin", "ADMIN", " Admin "):
        assert await oms.login(name)
