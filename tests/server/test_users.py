"""Accounts: who may change what of whom, what a password must be, what ends when, and what a token may do."""

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from oms.contract.errors import NoSuchTask
from oms.contract.operation import Permission
from oms.server import accounts, passwords
from oms.server.rules import tokens as shape
from oms.server.services.auth import LOCKED, WRONG
from oms.server.sessions import MUST_CHANGE, NOT_VALID, digest
from oms.server.store import tables
from oms.server.store import users as users_of
from tests.server import clock as clocks
from tests.server.rig import PASSWORD, CallError, Oms, Person
from tests.waiting import eventually

NEW = "seven purple whales at noon"
NEXT = "another eight green herons"
ANOTHER_HASH = "that nobody made"
T = TypeVar("T")


async def added(oms: Oms, name: str = "anna", role: str = "operator") -> Person:
    """Somebody new, whose first password is changed already."""
    await (await oms.as_admin()).ask("userservices.add_user", 0, name, NEW, role)
    person = Person(oms, await oms.login(name, NEW))
    await person.ask("userservices.change_password", 0, NEW, NEXT)
    return person


async def users(oms: Oms) -> dict[str, dict[str, Any]]:
    listed = await (await oms.as_admin()).ask("userservices.list_users", 0)
    assert [user["name"] for user in listed] == sorted(user["name"] for user in listed)
    return {user["name"]: user for user in listed}


async def out(person: Person) -> None:
    error = await person.error("authservices.checksessid")
    assert (error.name, error.message) == ("AuthError", NOT_VALID)


# --- accounts


async def test_a_user_is_added_listed_and_removed(oms: Oms) -> None:
    before = await users(oms)
    assert {name: user["role"] for name, user in before.items()} == {
        "admin": "admin",
        "operator": "operator",
        "viewer": "viewer",
    }
    admin = await oms.as_admin()
    assert await admin.ask("userservices.add_user", 0, "Anna", NEW) == 0
    anna = (await users(oms))["anna"]
    assert (anna["role"], anna["source"], anna["must_change_password"]) == ("viewer", "local", True)
    assert (anna["last_login"], anna["sessions"], anna["tokens"]) == ("", 0, 0)
    error = await admin.error("userservices.add_user", 0, "ANNA", NEXT, "admin")
    assert (error.data["reason"], error.data["user"]) == ("user_exists", "ANNA")
    await oms.login("anna", NEW)
    anna = (await users(oms))["anna"]
    assert (anna["sessions"], anna["last_login"] >= anna["created"]) == (1, True)
    assert await admin.ask("userservices.delete_user", 0, "anna") == 0
    assert "anna" not in await users(oms)
    assert (await admin.error("userservices.delete_user", 0, "anna")).data["reason"] == "no_such_user"
    with pytest.raises(CallError, match="not valid"):
        await oms.login("anna", NEW)


async def test_who_has_a_password_that_somebody_else_knows_changes_it_and_does_nothing_before(oms: Oms) -> None:
    await (await oms.as_admin()).ask("userservices.add_user", 0, "anna", NEW, "admin")
    anna = Person(oms, await oms.login("anna", NEW))
    for method, params in (
        ("funcservices.list_signed", [0]),
        ("userservices.list_sessions", [0]),
        ("userservices.create_token", [0, "x", "viewer"]),
        ("userservices.set_role", [0, "viewer", "admin"]),
    ):
        error = await anna.error(method, *params)
        assert (error.name, error.message, error.data) == (
            "AuthError",
            MUST_CHANGE,
            {"reason": "password_must_change"},
        )
    assert await anna.ask("authservices.checksessid") == 0
    assert (await anna.ask("userservices.whoami", 0))["must_change_password"] is True
    error = await anna.error("userservices.change_password", 0, NEW, NEW)
    assert error.data["reason"] == "weak_password"  # it is the old one
    assert await anna.ask("userservices.change_password", 0, NEW, NEXT) == 0
    assert (await anna.ask("userservices.whoami", 0)) == {
        "name": "anna",
        "role": "admin",
        "source": "local",
        "must_change_password": False,
        "token": "",
    }
    assert await anna.ask("funcservices.list_signed", 0) == []
    assert await oms.login("anna", NEXT)
    with pytest.raises(CallError, match="not valid"):
        await oms.login("anna", NEW)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "12 to 1024 characters"),
        ("short", "12 to 1024 characters"),
        ("x" * 1025, ""),
        ("password1234", "very common password"),
        ("qwertyuiopas", "commonly used password"),
        ("aaaaaaaaaaaaaaaa", "Repeats"),
        ("annaannaanna", ""),
        ("opennode2026", "guessed"),
    ],
)
async def test_a_password_that_is_soon_guessed_is_refused_with_the_reason(
    oms: Oms, password: str, why: str
) -> None:
    admin = await oms.as_admin()
    for method, params in (("add_user", ["anna"]), ("reset_password", ["viewer"])):
        error = await admin.error(f"userservices.{method}", 0, *params, password)
        assert error.name in ("FuncManError", "ParameterMismatch")
        assert why in error.message
        assert not password or password not in error.message
    assert "anna" not in await users(oms)
    assert await oms.login("viewer")


def test_no_sign_is_asked_for_in_a_password_and_any_language_will_do() -> None:
    for password in ("correct horse battery staple", "neli jalga hobusel all", "μῆνιν ἄειδε θεὰ Πηληϊάδεω"):
        assert passwords.fit(password, "anna") == password


async def test_one_changes_ones_own_password_only_with_the_old_one(oms: Oms) -> None:
    viewer, elsewhere = await oms.as_viewer(), await oms.as_viewer()
    error = await viewer.error("userservices.change_password", 0, "wrong", NEW)
    assert (error.name, "Nothing was changed" in error.message) == ("AuthError", True)
    await viewer.ask("authservices.checksessid")
    assert await viewer.ask("userservices.change_password", 0, PASSWORD, NEW) == 0
    await viewer.ask("authservices.checksessid")  # the one that changed it goes on
    await out(elsewhere)
    assert await oms.login("viewer", NEW)


async def test_the_old_password_is_guessed_no_oftener_than_at_the_login_and_locks_nobody_out_there(
    oms: Oms,
) -> None:
    viewer = await oms.as_viewer()
    said = [(await viewer.error("userservices.change_password", 0, "wrong", NEW)).message for _ in range(12)]
    assert said[-2:] == [LOCKED] * 2
    assert LOCKED not in said[:10]
    assert (await viewer.error("userservices.change_password", 0, PASSWORD, NEW)).message == LOCKED
    assert await oms.login("viewer")


async def test_a_reset_password_ends_the_sessions_and_must_be_changed(oms: Oms) -> None:
    viewer, admin = await oms.as_viewer(), await oms.as_admin()
    await viewer.ask("authservices.checksessid")
    assert await admin.ask("userservices.reset_password", 0, "viewer", NEW) == 0
    await out(viewer)
    again = Person(oms, await oms.login("viewer", NEW))
    assert (await again.error("funcservices.list_signed", 0)).data["reason"] == "password_must_change"


# --- what happens while a password is looked at


@asynccontextmanager
async def held_up(call: Coroutine[Any, Any, T]) -> AsyncIterator["asyncio.Task[T]"]:
    """A call that waits for a thread which looks at a password, or makes a hash of one."""
    go = threading.Event()
    ahead = [passwords._threads.submit(go.wait) for _ in range(2)]  # as many as there are threads
    try:
        task = asyncio.create_task(call)
        await eventually(lambda: passwords._threads._work_queue.qsize() == 1)
        yield task
    finally:
        go.set()
        await asyncio.gather(*map(asyncio.wrap_future, ahead))


def reset(tx: sa.Connection) -> None:
    accounts.reset_password(tx, "anna", ANOTHER_HASH, must_change=True)


@pytest.mark.parametrize("change", [reset, lambda tx: accounts.remove(tx, "anna")], ids=["reset", "removed"])
async def test_a_password_that_is_none_any_more_when_it_was_looked_at_lets_nobody_in(
    oms: Oms, change: Callable[[sa.Connection], None]
) -> None:
    await added(oms)
    async with held_up(oms.call("authservices.authenticate", "anna", NEXT)) as login:
        await oms.store.write(change)
    assert (await login)["error"]["message"] == WRONG
    assert (await users(oms)).get("anna", {"sessions": 0})["sessions"] == 0


async def test_a_reset_password_is_not_changed_by_who_knew_the_one_before(oms: Oms) -> None:
    anna = await added(oms)
    asked = oms.call("userservices.change_password", anna.sessid, 0, NEXT, "nine orange kites above")
    async with held_up(asked) as change:
        await oms.store.write(reset)
    assert (await change)["error"]["name"] == "AuthError"
    kept = await oms.store.read(lambda tx: users_of.by_name(tx, "anna"))
    assert kept is not None
    assert (kept.password, kept.must_change) == (ANOTHER_HASH, True)


async def test_an_administrator_who_is_thrown_out_meanwhile_leaves_no_account_behind(oms: Oms) -> None:
    admin = await oms.as_admin()
    await admin.ask("userservices.set_role", 0, "operator", "admin")
    thief = await oms.as_user("operator")
    asked = oms.call("userservices.add_user", thief.sessid, 0, "mallory", NEW, "admin")
    async with held_up(asked) as adding:
        await admin.ask("userservices.set_role", 0, "operator", "viewer")
    assert (await adding)["error"]["message"] == NOT_VALID
    assert "mallory" not in await users(oms)


# --- the last administrator


async def test_the_last_administrator_is_neither_removed_nor_demoted(oms: Oms) -> None:
    admin = await oms.as_admin()
    for method, params in (("delete_user", ["admin"]), ("set_role", ["admin", "operator"])):
        error = await admin.error(f"userservices.{method}", 0, *params)
        assert (error.name, error.data["reason"]) == ("FuncManError", "last_administrator")
    await admin.ask("userservices.set_role", 0, "operator", "admin")
    assert await admin.ask("userservices.set_role", 0, "admin", "operator") == 0
    assert {name: user["role"] for name, user in (await _as(oms, "operator")).items()}["admin"] == "operator"


async def _as(oms: Oms, name: str) -> dict[str, dict[str, Any]]:
    return {user["name"]: user for user in await (await oms.as_user(name)).ask("userservices.list_users", 0)}


@pytest.mark.parametrize("by", ["both removed", "both demoted", "one each"])
async def test_of_two_administrators_who_are_thrown_out_at_once_one_stays(oms: Oms, by: str) -> None:
    admin = await oms.as_admin()
    await admin.ask("userservices.set_role", 0, "operator", "admin")
    callers = [await oms.as_admin(), await oms.as_user("operator")]
    asked = {
        "both removed": ["delete_user", "delete_user"],
        "both demoted": ["set_role", "set_role"],
        "one each": ["delete_user", "set_role"],
    }[by]

    async def throw_out(caller: Person, method: str, name: str) -> str:
        more = ["viewer"] if method == "set_role" else []
        answer = await oms.call(f"userservices.{method}", caller.sessid, 0, name, *more)
        return "" if answer["error"] is None else str(answer["error"]["name"])

    each_other = zip(callers, asked, ("operator", "admin"), strict=True)
    told = await asyncio.gather(*(throw_out(*one) for one in each_other))
    done, refused = sorted(told)
    assert done == "", told
    assert refused in ("FuncManError", "AuthError"), told
    left = await oms.store.read(users_of.administrators)
    assert len(left) == 1


async def test_two_writes_that_meet_in_the_database_leave_one_administrator(oms: Oms) -> None:
    """As two servers over one database do it, each having looked before."""
    await oms.store.write(lambda tx: accounts.set_role(tx, "operator", Permission.ADMIN))
    outcomes = await asyncio.gather(
        oms.store.write(lambda tx: accounts.remove(tx, "admin")),
        asyncio.to_thread(oms.store.transaction, lambda tx: accounts.remove(tx, "operator")),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LastAdministrator", "NoneType"]


# --- what ends when


@pytest.mark.parametrize(
    ("method", "params"),
    [("delete_user", ["anna"]), ("set_role", ["anna", "viewer"]), ("reset_password", ["anna", NEW])],
)
async def test_who_is_thrown_out_or_demoted_has_no_session_at_the_next_call(
    oms: Oms, method: str, params: list[str]
) -> None:
    anna = await added(oms)
    await anna.ask("authservices.checksessid")
    await (await oms.as_admin()).ask(f"userservices.{method}", 0, *params)
    await out(anna)


async def test_who_rises_keeps_his_sessions_and_may_more_at_once(oms: Oms) -> None:
    anna = await added(oms, role="viewer")
    assert "needs the role admin" in (await anna.error("userservices.list_users", 0)).message
    await (await oms.as_admin()).ask("userservices.set_role", 0, "anna", "admin")
    assert await anna.ask("userservices.list_users", 0)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("what", ["removed", "demoted", "session ended", "token revoked"])
async def test_what_outlives_a_call_is_told_within_two_seconds_that_its_session_is_over(
    oms: Oms, what: str, where: str
) -> None:
    """Consoles and streams stand on this. `elsewhere`: by another server, or at the machine, over the database."""
    anna, admin = await added(oms), await oms.as_admin()
    token = await anna.ask("userservices.create_token", 0, "console", "operator")
    made = {"token revoked": token["token"]}.get(what, anna.sessid)
    sessions = oms.edge._pipeline._house.sessions
    session = await sessions.check(made)
    async with sessions.lasting(session) as ended, sessions.lasting(await sessions.check(admin.sessid)) as others:
        await asyncio.sleep(0)
        assert not ended.is_set()
        if where == "here":
            method, params = {
                "removed": ("userservices.delete_user", [0, "anna"]),
                "demoted": ("userservices.set_role", [0, "anna", "viewer"]),
                "session ended": ("userservices.end_sessions", [0, "anna"]),
                "token revoked": ("userservices.revoke_token", [0, token["id"]]),
            }[what]
            await admin.ask(method, *params)
        else:
            await asyncio.to_thread(oms.store.transaction, _elsewhere(what, token["id"]))
            await asyncio.wait_for(ended.wait(), 30)
        assert ended.is_set()
        assert not others.is_set()


def _elsewhere(what: str, token_id: str) -> Any:
    users_, sessions_, tokens_ = tables.users, tables.sessions, tables.tokens
    return {
        "removed": lambda tx: accounts.remove(tx, "anna"),
        "demoted": lambda tx: tx.execute(sa.update(users_).where(users_.c.name == "anna").values(role=1)),
        "session ended": lambda tx: tx.execute(sa.delete(sessions_).where(sessions_.c.user == "anna")),
        "token revoked": lambda tx: tx.execute(sa.delete(tokens_).where(tokens_.c.id == token_id)),
    }[what]


async def test_a_long_wait_ends_with_its_session(oms: Oms, monkeypatch: pytest.MonkeyPatch) -> None:
    anna, admin = await added(oms), await oms.as_admin()

    async def never(_id: str, _seconds: float) -> None:
        await asyncio.sleep(60)
        raise NoSuchTask("There is none.")

    monkeypatch.setattr(oms.edge._pipeline._house.jobs, "wait", never)
    waiting = asyncio.create_task(anna.error("taskservices.wait_task", 0, "0" * 32, 300))
    await asyncio.sleep(0.05)
    await admin.ask("userservices.delete_user", 0, "anna")
    error = await asyncio.wait_for(waiting, 30)
    assert (error.name, error.message) == ("AuthError", NOT_VALID)


async def test_ones_own_sessions_are_seen_and_ended_and_others_only_by_an_administrator(oms: Oms) -> None:
    anna, admin = await added(oms), await oms.as_admin()
    await oms.login("anna", NEXT, address="192.0.2.99")
    mine: list[dict[str, Any]] = []
    for whose in ((), ("anna",), ("ANNA",)):
        mine = await anna.ask("userservices.list_sessions", 0, *whose)
        assert {session["user"] for session in mine} == {"anna"}
        assert [session["current"] for session in mine].count(True) == 1
        assert [session["id"] for session in mine if session["current"]] == [digest(anna.sessid)[:16]]
    assert {session["address"] for session in mine} == {"192.0.2.7", "192.0.2.99"}
    for method, params in (("list_sessions", ["admin"]), ("end_sessions", ["admin"]), ("list_tokens", ["admin"])):
        error = await anna.error(f"userservices.{method}", 0, *params)
        assert (error.name, "only an administrator" in error.message) == ("AuthError", True)
    every = await admin.ask("userservices.list_sessions", 0)
    assert {"anna", "admin"} <= {session["user"] for session in every}
    (other,) = (session["id"] for session in mine if not session["current"])
    assert await anna.ask("userservices.end_sessions", 0, "anna", other) == 1
    gone = await anna.error("userservices.end_sessions", 0, "anna", other)
    assert gone.data["reason"] == "no_such_session"
    nobodys = await admin.error("userservices.end_sessions", 0, "nobody")
    assert nobodys.data["reason"] == "no_such_user"
    assert await admin.ask("userservices.end_sessions", 0, "anna") == 1
    await out(anna)


# --- tokens


def test_a_token_has_the_shape_that_scanners_look_for() -> None:
    made = {shape.invented() for _ in range(100)}
    assert len(made) == 100
    for token in made:
        assert re.fullmatch("oms_[0-9A-Za-z]{46}", token)
        assert shape.is_token(token)
        assert not shape.is_token(token + "\n")
        assert not shape.is_token(token[:-1] + ("a" if token[-1] != "a" else "b"))


async def test_a_token_stands_for_a_session_in_its_place_or_in_the_header(oms: Oms) -> None:
    anna = await added(oms)
    made = await anna.ask("userservices.create_token", 0, "nightly backup", "viewer", 30)
    token = made["token"]
    holder = Person(oms, token)
    assert await holder.ask("userservices.whoami", 0) == {
        "name": "anna",
        "role": "viewer",
        "source": "local",
        "must_change_password": False,
        "token": made["id"],
    }
    bearer = {"authorization": f"Bearer {token}"}
    for params in ([None, 0], ["", 0], {"cache_timeout": 0}, {"SESSID": "", "cache_timeout": 0}):
        answer = (await oms.reply("funcservices.list_signed", params, headers=bearer)).json
        assert answer["error"] is None, params
    assert (await oms.reply("userservices.whoami", [None, 0], headers=bearer)).json["error"] is None
    wrong = await oms.reply("funcservices.list_signed", ["A" * 40, 0], headers=bearer)
    assert wrong.json["error"]["name"] == "AuthError"  # what is in its place counts
    assert (await oms.reply("userservices.whoami", [None, 0], headers={"authorization": f"Basic {token}"})).json[
        "error"
    ]
    (listed,) = await anna.ask("userservices.list_tokens", 0)
    while not listed["last_used"]:  # written beside the answers, some moments later
        (listed,) = await anna.ask("userservices.list_tokens", 0)
    assert (listed["id"], listed["label"], listed["role"]) == (made["id"], "nightly backup", "viewer")
    used = [line.get("session") for line in oms.audited() if line["method"] == "funcservices.list_signed"]
    assert used == [made["id"]] * 4 + [None]


async def test_a_token_does_no_more_than_it_says_nor_than_its_owner_may_now(oms: Oms) -> None:
    anna, admin = await added(oms), await oms.as_admin()
    error = await anna.error("userservices.create_token", 0, "x", "admin")
    assert (error.name, "his tokens can be no admin" in error.message) == ("AuthError", True)
    holder = anna
    for role, may in (("viewer", False), ("operator", True)):
        holder = Person(oms, (await anna.ask("userservices.create_token", 0, role, role))["token"])
        error = await holder.error("taskservices.cancel_task", 0, "0" * 32)
        assert ("needs the role operator" in error.message) != may
    await admin.ask("userservices.set_role", 0, "anna", "viewer")
    error = await holder.error("taskservices.cancel_task", 0, "0" * 32)
    assert "needs the role operator; anna is viewer" in error.message
    assert await holder.ask("funcservices.list_signed", 0) == []
    await admin.ask("userservices.delete_user", 0, "anna")
    await out(holder)


async def test_a_token_neither_makes_tokens_nor_changes_passwords_nor_logs_out(oms: Oms) -> None:
    admin = await oms.as_admin()
    holder = Person(oms, (await admin.ask("userservices.create_token", 0, "x", "admin"))["token"])
    assert "makes no token" in (await holder.error("userservices.create_token", 0, "y", "viewer")).message
    error = await holder.error("userservices.change_password", 0, PASSWORD, NEW)
    assert "changes no password" in error.message
    assert (await holder.error("authservices.deauthenticate")).name == "DeathError"
    assert await holder.ask("userservices.whoami", 0)


async def test_a_token_that_only_reads_throws_nobody_out_but_itself(oms: Oms) -> None:
    admin = await oms.as_admin()
    other = await admin.ask("userservices.create_token", 0, "x", "admin")
    made = await admin.ask("userservices.create_token", 0, "x", "viewer")
    reader = Person(oms, made["token"])
    for method, params in (("end_sessions", ["admin"]), ("revoke_token", [other["id"]])):
        assert (await reader.error(f"userservices.{method}", 0, *params)).name == "AuthError"
    await admin.ask("userservices.whoami", 0)
    assert await reader.ask("userservices.revoke_token", 0, made["id"]) == 0
    await out(reader)
    assert await Person(oms, other["token"]).ask("userservices.end_sessions", 0, "admin") == 1


async def test_an_administrator_makes_sees_and_revokes_tokens_of_others(oms: Oms) -> None:
    admin, viewer, operator = await oms.as_admin(), await oms.as_viewer(), await oms.as_operator()
    made = await admin.ask("userservices.create_token", 0, "robot", "viewer", 1, "viewer")
    assert (await Person(oms, made["token"]).ask("userservices.whoami", 0))["name"] == "viewer"
    assert [token["id"] for token in await viewer.ask("userservices.list_tokens", 0)] == [made["id"]]
    assert [token["user"] for token in await admin.ask("userservices.list_tokens", 0)] == ["viewer"]
    error = await operator.error("userservices.create_token", 0, "x", "viewer", 1, "viewer")
    assert "only an administrator" in error.message
    error = await operator.error("userservices.revoke_token", 0, made["id"])
    assert error.data["reason"] == "no_such_token"
    assert await admin.ask("userservices.revoke_token", 0, made["id"]) == 0
    await out(Person(oms, made["token"]))
    assert (await viewer.error("userservices.revoke_token", 0, made["id"])).data["reason"] == "no_such_token"


async def test_a_token_ends_with_its_days_and_stays_ended_when_the_clock_is_set_back(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await oms.as_viewer()
    holder = Person(oms, (await viewer.ask("userservices.create_token", 0, "x", "viewer", 1))["token"])
    clock = clocks.put(monkeypatch, "oms.server.sessions", "oms.server.store.moments")
    monkeypatch.setattr(
        "oms.server.store.tokens.now", lambda: __import__("oms.server.store", fromlist=["x"]).now()
    )
    clock.pass_(86_390)
    await holder.ask("userservices.whoami", 0)  # no idling, no longest day but its own
    clock.pass_(11)
    await out(holder)


async def test_as_many_tokens_are_kept_as_may_and_of_none_more_than_its_digest(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms.server.services.user.MOST_TOKENS", 3)
    viewer = await oms.as_viewer()
    made = [await viewer.ask("userservices.create_token", 0, "x", "viewer") for _ in range(3)]
    error = await viewer.error("userservices.create_token", 0, "x", "viewer")
    assert error.data["reason"] == "too_many_tokens"
    kept = b"".join(path.read_bytes() for path in oms.config.home.iterdir() if path.is_file())
    assert not [token for token in made if token["token"].encode() in kept]
    assert all(token["id"].encode() in kept for token in made)


async def test_a_users_token_from_outside_works_as_long_as_he_still_logs_in_there(oms: Oms) -> None:
    viewer = await oms.as_viewer()
    holder = Person(oms, (await viewer.ask("userservices.create_token", 0, "x", "viewer"))["token"])
    month_ago = time.time() - 31 * 86_400
    change = sa.update(tables.users).where(tables.users.c.name == "viewer")
    await oms.store.write(lambda tx: tx.execute(change.values(last_login=month_ago)))
    assert (await holder.ask("userservices.whoami", 0))["source"] == "local"
    await oms.restart()
    await oms.store.write(lambda tx: tx.execute(change.values(source="ldap", last_login=month_ago)))
    await out(holder)
    await oms.store.write(lambda tx: tx.execute(change.values(last_login=time.time())))
    assert (await holder.ask("userservices.whoami", 0))["source"] == "ldap"
