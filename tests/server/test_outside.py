"""Users from outside: a real directory over TLS, a real PAM, what their groups let them do, and a source that
hangs."""

import asyncio
import collections
import contextlib
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from oms.contract.auth import LoginSourceDown
from oms.contract.errors import ConfigurationReadError
from oms.contract.operation import Permission
from oms.server.config import ServerConfig
from oms.server.outside import BEYOND_SECONDS, MOST_WAITING, Outside, SourceDown, sources
from oms.server.outside.sources import outside
from oms.server.rules import grouproles
from oms.server.services.auth import WRONG
from tests.server.rig import PASSWORD as LOCAL
from tests.server.rig import CallError, Oms, Person, Seed
from tests.server.slapd import BASE, PASSWORD, READER, Slapd
from tests.waiting import eventually

ROLES = {"admin_groups": ("ldap:OMS-Admins", "pam:oms-test"), "viewer_groups": ("ldap:oms-viewers",)}


def why_not(program: str) -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    return None if Path(program).exists() else f"needs {program} (scripts/bootstrap test installs it)"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    if reason := why_not("/usr/sbin/slapd"):
        pytest.skip(reason)
    with Slapd(tmp_path_factory.mktemp("slapd")) as running:
        yield running


def settings(slapd: Slapd, **changed: Any) -> dict[str, Any]:
    return {
        "login_sources": ("ldap",),
        "ldap_url": slapd.tls_url,
        "ldap_ca": slapd.ca,
        "ldap_bind_dn": READER,
        "ldap_bind_password_file": slapd.reader_password,
        "ldap_user_base": f"ou=people,{BASE}",
        "ldap_group_base": f"ou=groups,{BASE}",
        **ROLES,
        **changed,
    }


@pytest.fixture
async def oms(slapd: Slapd, seed: Seed, folder: Path) -> AsyncIterator[Oms]:
    async with Oms(seed, folder, **settings(slapd)) as running:
        yield running


async def refused(oms: Oms, name: str, password: str) -> str:
    with pytest.raises(CallError) as error:
        await oms.login(name, password)
    return error.value.message


async def listed(oms: Oms) -> dict[str, tuple[str, str]]:
    users = await (await oms.as_admin()).ask("userservices.list_users", 0)
    return {user["name"]: (user["role"], user["source"]) for user in users}


# --- a directory


async def test_a_user_of_a_directory_logs_in_with_the_highest_role_of_his_groups(oms: Oms) -> None:
    for name, role in (("anna", "admin"), ("bert", "viewer")):
        person = Person(oms, await oms.login(name.upper(), PASSWORD))
        me = await person.ask("userservices.whoami", 0)
        assert (me["name"], me["role"], me["source"], me["must_change_password"]) == (name, role, "ldap", False)
    assert await refused(oms, "carl", PASSWORD) == WRONG  # in no group that may
    found = await listed(oms)
    assert (found["anna"], found["bert"], found["admin"]) == (
        ("admin", "ldap"),
        ("viewer", "ldap"),
        ("admin", "local"),
    )
    assert "carl" not in found


async def test_a_wrong_or_empty_password_and_a_name_that_means_more_let_nobody_in(oms: Oms) -> None:
    wrong = ["", "wrong", PASSWORD + " ", "\0"]
    names = [
        "*",
        "ann*",
        "anna)(uid=*",
        "anna)(|(uid=bert)",
        "uid=anna",
        f"uid=anna,ou=people,{BASE}",
        "an\\6ea",
        "",
    ]
    for name, password in [*(("anna", it) for it in wrong), *((it, PASSWORD) for it in names)]:
        assert await refused(oms, name, password) == WRONG, (name, password)
    assert set(await listed(oms)) == {"admin", "operator", "viewer"}


def test_the_directory_itself_lets_nobody_in_without_a_password_and_finds_nobody_by_a_pattern(
    slapd: Slapd,
) -> None:
    from oms.server.outside.directory import _filled

    asked = sources.directory(ServerConfig(**settings(slapd)))
    assert asked.look("anna", PASSWORD) == frozenset({"oms-admins", "oms-viewers"})
    for user, password in (("anna", ""), ("*", PASSWORD), ("ann*", PASSWORD), ("anna)(uid=*", PASSWORD)):
        assert asked.look(user, password) is None
    assert _filled("(&(uid={user})(member={dn}))", user="a*)(b", dn="cn=\\") == (
        "(&(uid=a\\2a\\29\\28b)(member=cn=\\5c))"
    )


async def test_a_local_name_is_never_a_directorys(oms: Oms) -> None:
    """The directory has a `viewer` too."""
    assert await refused(oms, "viewer", PASSWORD) == WRONG
    person = Person(oms, await oms.login("viewer", LOCAL))
    assert (await person.ask("userservices.whoami", 0))["source"] == "local"
    assert await oms.login("bert", PASSWORD)
    admin = await oms.as_admin()
    error = await admin.error("userservices.add_user", 0, "bert", "seven purple whales at noon")
    assert "comes from ldap" in error.message
    await admin.ask("userservices.delete_user", 0, "bert")
    await admin.ask("userservices.add_user", 0, "bert", "seven purple whales at noon")
    assert await refused(oms, "bert", PASSWORD) == WRONG


async def test_what_a_directory_keeps_is_changed_there(oms: Oms) -> None:
    anna, admin = Person(oms, await oms.login("anna", PASSWORD)), await oms.as_admin()
    new = "seven purple whales at noon"
    for error in (
        await anna.error("userservices.change_password", 0, PASSWORD, new),
        await admin.error("userservices.reset_password", 0, "anna", new),
        await admin.error("userservices.set_role", 0, "anna", "viewer"),
    ):
        assert error.data["reason"] == "outside_user"
    error = await anna.error("userservices.delete_user", 0, "admin")
    assert error.data["reason"] == "last_administrator"  # those from outside may be out of reach tomorrow


async def test_whoever_lost_a_group_has_a_lower_role_from_his_next_login_on_and_no_older_session(
    oms: Oms, slapd: Slapd
) -> None:
    before = Person(oms, await oms.login("anna", PASSWORD))
    await before.ask("userservices.list_users", 0)
    look = oms.edge._pipeline._house.outside
    look._roles = grouproles.mapped({Permission.VIEWER: ("ldap:oms-viewers",)})
    after = Person(oms, await oms.login("anna", PASSWORD))
    assert (await after.ask("userservices.whoami", 0))["role"] == "viewer"
    assert (await before.error("userservices.whoami", 0)).name == "AuthError"


@pytest.mark.parametrize("how", ["starttls", "foreign ca", "another name", "plain", "wrong reader"])
async def test_nothing_is_said_to_a_directory_that_is_not_checked(slapd: Slapd, how: str, tmp_path: Path) -> None:
    from tests.bus.nats.pki import Authority

    foreign = tmp_path / "foreign.crt"
    foreign.write_bytes(Authority.new("somebody else's").pem)
    empty = tmp_path / "empty"
    empty.write_text("wrong")
    changed: dict[str, dict[str, Any]] = {
        "starttls": {"ldap_url": slapd.url},
        "foreign ca": {"ldap_ca": foreign},
        "another name": {"ldap_url": slapd.tls_url.replace("127.0.0.1", "127.0.0.2")},
        "plain": {"ldap_url": slapd.url, "ldap_plain": True},
        "wrong reader": {"ldap_bind_password_file": empty},
    }
    asked = sources.directory(ServerConfig(**settings(slapd, **changed[how])))
    if how == "starttls":
        assert await asyncio.to_thread(asked.look, "bert", PASSWORD) == frozenset({"oms-viewers"})
        return
    with pytest.raises(SourceDown):
        await asyncio.to_thread(asked.look, "bert", PASSWORD)


class Hole:
    """A directory that takes connections, and says nothing."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._held.append(self._listening.accept()[0])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._listening, *self._held):
            each.close()


@pytest.fixture
def hole() -> Iterator[Hole]:
    with contextlib.closing(Hole()) as made:
        yield made


async def test_a_directory_that_hangs_holds_up_nobody_whom_oms_knows_and_is_no_wrong_password(
    slapd: Slapd, seed: Seed, folder: Path, hole: Hole
) -> None:
    made = settings(slapd, ldap_url=f"ldaps://127.0.0.1:{hole.port}", login_timeout=100, login_tries=3)
    async with Oms(seed, folder, **made) as oms:
        waiting = oms.edge._pipeline._house.outside
        asked = (("authservices.authenticate", f"anna{number}", "x") for number in range(MOST_WAITING + 4))
        hung = [
            asyncio.create_task(oms.call(*one, address=f"192.0.2.{number}")) for number, one in enumerate(asked)
        ]
        await eventually(lambda: waiting._waiting == MOST_WAITING)
        assert await oms.login("viewer")
        assert waiting._waiting == MOST_WAITING  # all of them wait on
        await eventually(lambda: sum(task.done() for task in hung) == 4)
        hole.close()
        told = collections.Counter([(await task)["error"]["data"].get("reason") for task in hung])
        assert told == {"login_source_down": MOST_WAITING, "logins_busy": 4}
        for _ in range(5):
            assert "does not answer" in await refused(oms, "anna", "x")


@pytest.mark.parametrize("kind", ["ldap", "ldaps"])
def test_a_directory_that_says_nothing_is_waited_for_as_long_as_was_set(
    slapd: Slapd, hole: Hole, kind: str
) -> None:
    made = settings(slapd, ldap_url=f"{kind}://127.0.0.1:{hole.port}", login_timeout=0.2)
    with pytest.raises(SourceDown):
        sources.directory(ServerConfig(**made)).look("anna", PASSWORD)


# --- PAM


@pytest.fixture(scope="module")
def account() -> Iterator[tuple[str, str, str]]:
    """An account of this machine, and a PAM service that asks pam_unix: its name, its password, the service."""
    if reason := why_not("/usr/sbin/useradd"):
        pytest.skip(reason)
    name, password = f"oms-{secrets.token_hex(4)}", "a machine's own password"
    service = Path("/etc/pam.d") / name
    service.write_text("auth required pam_unix.so noreap\naccount required pam_unix.so\n")
    subprocess.run(["groupadd", "--force", "oms-test"], check=True)
    subprocess.run(["useradd", "--no-create-home", "--groups", "oms-test", name], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True)
        yield name, password, name
    finally:
        service.unlink()
        subprocess.run(["userdel", name], check=True)
        subprocess.run(["groupdel", "oms-test"], check=True)


@contextlib.contextmanager
def expired(name: str) -> Iterator[None]:
    """The account is over, and is none the less there."""
    subprocess.run(["usermod", "--expiredate", "1", name], check=True)
    try:
        yield
    finally:
        subprocess.run(["usermod", "--expiredate", "", name], check=True)


async def test_a_user_of_this_machine_logs_in_by_pam(
    account: tuple[str, str, str], seed: Seed, folder: Path
) -> None:
    name, password, service = account
    made = {"login_sources": ("pam",), "pam_service": service, **ROLES}
    async with Oms(seed, folder, **made) as oms:
        person = Person(oms, await oms.login(name, password))
        me = await person.ask("userservices.whoami", 0)
        assert (me["name"], me["role"], me["source"]) == (name, "admin", "pam")
        for wrong in ("", "wrong", password + "x"):
            assert await refused(oms, name, wrong) == WRONG
        assert await refused(oms, "nobody-of-that-name", password) == WRONG
        assert (await listed(oms))[name] == ("admin", "pam")
        with expired(name):
            assert await refused(oms, name, password) == WRONG  # the password is right, the account is over


# --- settings


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"login_sources": ("pam",), "pam_service": "no-such-service"}, "There is no PAM service no-such-service"),
        ({"login_sources": ("pam",), "pam_service": "../passwd"}, "the name of a file in /etc/pam.d"),
        ({"login_sources": ("ldap",)}, "ldap_url is not set"),
        ({"login_sources": ("ldap",), "ldap_url": "ldaps://x"}, "ldap_user_base is not set"),
        ({"admin_groups": ("oms-admins",)}, "legal is pam:GROUP or ldap:GROUP"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_start(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationReadError, match=why):
        outside(ServerConfig(**changed))


def test_the_highest_role_of_all_groups_counts_and_a_group_of_another_source_does_not() -> None:
    table = grouproles.mapped(
        {Permission.ADMIN: ("ldap:a",), Permission.OPERATOR: ("ldap:o", "pam:a"), Permission.VIEWER: ("ldap:v",)}
    )
    assert grouproles.role_of(table, "ldap", ["V", "o"]) is Permission.OPERATOR
    assert grouproles.role_of(table, "ldap", ["a", "v"]) is Permission.ADMIN
    assert grouproles.role_of(table, "pam", ["a", "v"]) is Permission.OPERATOR
    assert grouproles.role_of(table, "pam", ["v", ""]) is None


async def test_a_source_that_does_not_keep_its_time_is_not_waited_for() -> None:
    free = threading.Event()

    def hang(_name: str, _password: str) -> frozenset[str]:
        free.wait(60)
        return frozenset()

    asked = Outside(
        {"pam": hang}, grouproles.mapped({Permission.VIEWER: ("pam:v",)}), timeout=0.1 - BEYOND_SECONDS
    )
    with pytest.raises(LoginSourceDown, match="pam does not answer"):
        await asked.find("anna", "x", None)
    free.set()
    asked.close()
