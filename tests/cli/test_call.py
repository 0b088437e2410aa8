"""`oms login`, `oms call`, `oms logout` against a real OMS, as a person and as a script uses them."""

import json
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms.cli import call, table
from oms.contract.errors import MethodNotFound, ParameterMismatch, ServiceNotFound
from oms.contract.func import SignRequests
from oms.contract.kvm import ListVms, UpdateVmSettings
from oms.contract.task import WaitTask
from tests.cli.command import Ran, oms
from tests.cli.served import Up, until

PASSWORD = "a first password"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("up"), OMS_ADMIN_PASSWORD=PASSWORD) as running:
        admin = running.log_in(PASSWORD)
        until(lambda: [host["status"] for host in admin.func("list_signed")] == [1])
        yield running


class Person:
    """Somebody at a shell, with a home of his own."""

    def __init__(self, up: Up, home: Path) -> None:
        self.up, self.home = up, home
        self.file = home / "state" / "oms" / "session.json"

    def oms(self, *words: object, stdin: str = "") -> Ran:
        return oms(*words, stdin=stdin, more={"XDG_STATE_HOME": str(self.home / "state")})

    def log_in(self, password: str = PASSWORD, **changes: str) -> Ran:
        given = {"ca-sha256": self.up.shown("CA fingerprint"), "user": "admin", **changes}
        flags = [f"--{name}={value}" for name, value in given.items()]
        return self.oms("login", self.up.shown("Address"), *flags, stdin=f"{password}\n")


@pytest.fixture
def person(up: Up, tmp_path: Path) -> Person:
    return Person(up, tmp_path)


@pytest.fixture
def admin(person: Person) -> Person:
    ran = person.log_in()
    assert (ran.code, ran.err) == (0, "")
    return person


# --- sessions


def test_a_session_is_kept_for_this_user_alone_and_ends(admin: Person) -> None:
    assert stat.S_IMODE(admin.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(admin.file.parent.stat().st_mode) == 0o700
    assert PASSWORD not in admin.file.read_text()
    sessid = json.loads(admin.file.read_text())["sessid"]
    assert admin.oms("call", "authservices.checksessid").out == "0\n"
    assert admin.oms("logout").out == f"Logged out at {admin.up.shown('Address')}.\n"
    assert sessid not in admin.file.read_text()
    ran = admin.oms("call", "authservices.checksessid")
    assert (ran.code, ran.last) == (1, "oms call: You are not logged in: `oms login` asks for all it needs.")
    assert admin.oms("logout").out == "Nobody was logged in.\n"


def test_what_is_not_given_is_asked_for_and_what_was_said_before_is_proposed(admin: Person) -> None:
    ran = admin.oms("login", stdin=f"\n\n\n{PASSWORD}\n")
    assert ran.code == 0, ran.err
    for asked in (f"Address [{admin.up.shown('Address')}]", "CA fingerprint", "User [admin]"):
        assert asked in ran.out


def test_a_login_that_fails_leaves_the_session_before(admin: Person) -> None:
    before = admin.file.read_text()
    ran = admin.log_in("not the password")
    assert (ran.code, ran.out) == (1, "")
    assert ran.last.startswith("oms login: AuthError: ")
    ran = admin.log_in(**{"ca-sha256": "ab" * 32})
    assert ran.code == 1
    assert "is not the OMS that was meant" in ran.last
    assert admin.oms("login", "http://oms", "--user=a", "--ca-sha256=ab").code == 2
    assert admin.file.read_text() == before


# --- calls


def test_an_answer_is_a_table_for_people_and_json_for_programs(admin: Person) -> None:
    name = admin.up.shown("This machine")
    shown = admin.oms("call", "funcservices.list_signed")
    assert (shown.code, shown.err) == (0, "")
    head, row = shown.out.splitlines()
    assert "name" in head.split()
    assert name in row.split()
    (host,) = json.loads(admin.oms("call", "funcservices.list_signed", "--json").out)
    assert (host["name"], host["status"]) == (name, 1)
    figures = admin.oms("call", "statsservices", "get_stats", name, "cpu", "memory").out.split()
    assert {"cpu.percentage", "memory.total"} <= set(figures)
    assert admin.oms("call", "func.ca_sha256").code == 2  # a service's name, or one of its aliases
    assert admin.up.shown("CA fingerprint") in admin.oms("call", "funcservices.ca_sha256").out


def test_an_error_is_its_name_and_its_sentence(admin: Person) -> None:
    name = admin.up.shown("This machine")
    ran = admin.oms("call", "kvmservices.list_vms", name, "cpu", "memory")
    assert (ran.code, ran.out) == (1, "")
    assert ran.last.startswith("oms call: FuncManError: ")
    assert admin.oms("call", "kvm.start_vm", "no-such-host", "vm1").last.startswith("oms call: FuncManError: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "The service is missing"),
        (["kvmservices.nonsense"], "kvmservices has no method"),
        (["kvmservices.start_vm"], "Parameter server_hostname is missing"),
        (["kvmservices.start_vm", "node1"], "Parameter kvm_vm_name is missing"),
        (["kvmservices.start_vm", "node1", "a", "b"], "takes 4 parameters, got 5"),
        (["kvmservices.list_vms", "node1", "weather"], "legal is a statistic"),
        (["taskservices.wait_task", "0" * 32, "soon"], "legal is seconds to wait"),
        (["kvmservices.list_vms", "node1", "--cache=-1"], "Invalid value for '--cache'"),
    ],
)
def test_a_call_that_cannot_be_right_is_not_made(words: list[str], said: str, person: Person) -> None:
    ran = person.oms("call", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in " ".join(ran.err.split())


def test_a_server_that_is_away_is_told(admin: Person) -> None:
    kept = json.loads(admin.file.read_text())
    admin.file.write_text(json.dumps({**kept, "url": "https://127.0.0.1:1"}))
    ran = admin.oms("call", "funcservices.list_signed")
    assert ran.code == 1
    assert ran.last.startswith("oms call: https://127.0.0.1:1 cannot be reached")
    assert admin.oms("logout").code == 1
    assert kept["sessid"] not in admin.file.read_text()  # forgotten all the same


def test_a_damaged_session_is_none(person: Person) -> None:
    person.file.parent.mkdir(parents=True)
    person.file.write_text("{")
    assert person.oms("call", "funcservices.list_signed").last.endswith("`oms login` asks for all it needs.")


# --- words


def test_words_are_texts_where_a_text_is_legal_and_else_json() -> None:
    asked = call.understood("kvm.list_vms", ["node1", "cpu", "memory"], 5)
    assert (asked.op, asked.host, asked.cache_timeout) == (ListVms(("cpu", "memory")), "node1", 5)
    assert call.understood("kvmservices.list_vms", ["node1"]).op == ListVms()
    settings = call.understood("kvmservices.update_vm_settings", ["node1", "7", '{"memory": "48"}']).op
    assert settings == UpdateVmSettings("7", {"memory": "48"})  # a machine called 7 is no number
    assert call.understood("taskservices.wait_task", ["0" * 32, "5"]).op == WaitTask("0" * 32, 5)


def test_one_word_stands_for_a_list_of_one() -> None:
    for words in (["node2"], ['["node2"]']):
        assert call.understood("funcservices.sign_requests", words).op == SignRequests(("node2",))


def test_what_the_words_cannot_mean_is_named() -> None:
    for method, words, error in (
        ("kvmservices.list_vms", ["Node_1"], ParameterMismatch),
        ("authservices.checksessid", ["surplus"], ParameterMismatch),
        ("nonsense.list_vms", [], ServiceNotFound),
        ("kvmservices.nonsense", [], MethodNotFound),
    ):
        with pytest.raises(error):
            call.understood(method, words)


def test_methods_are_completed_with_what_they_do() -> None:
    assert call.methods("kvmservices.list_vms") == [
        ("kvmservices.list_vms", ListVms.facts.summary),
        (
            "kvmservices.list_vms_status",
            "State of every machine of a host, by name; `shutdown` means that it is off.",
        ),
    ]


# --- tables


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (
            [{"name": "a", "n": 1}, {"name": "bb", "tags": ["x", "y"]}],
            "name  n  tags\na     1\nbb       x y\n",
        ),
        ({"vm1": {"state": "running"}}, "     state\nvm1  running\n"),
        ({"cpu": {"percentage": "1"}, "swap": {"used": "2"}}, "cpu.percentage  1\nswap.used       2\n"),
        ({"memory": "Memory must be", "x": {"y": 1}}, "memory  Memory must be\nx.y     1\n"),
        (
            {
                "df": {"used": "9", "details": [{"mount": "/", "free": 1}, {"mount": "/a"}], "none": {}},
                "past": [1, None],
            },
            "df.used     9\ndf.details  mount / free 1\ndf.details  mount /a\ndf.none     {}\npast        1 -\n",
        ),
        (["one", "two"], "one\ntwo\n"),
        ([["VG", "Name"], ["a b"]], "VG Name\na b\n"),
        (0, "0\n"),
        ("text", "text\n"),
        ([], ""),
        ({}, ""),
    ],
)
def test_answers_of_each_shape_are_shown(answer: Any, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    table.show(answer, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert "".join(f"{line.rstrip()}\n" for line in lines) == shown


def test_what_is_too_wide_for_a_terminal_stands_one_below_the_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = [{"id": "a" * 32, "host": "node1", "error": None}, {"id": "b" * 32, "host": "node2", "error": "e"}]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = {}
    for width in ("40", "60"):
        monkeypatch.setenv("COLUMNS", width)
        table.show(answer, as_json=False)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        shown[width] = [line.split() for line in plain.splitlines()]
    first, second = [["id", "a" * 32], ["host", "node1"]], [["id", "b" * 32], ["host", "node2"], ["error", "e"]]
    assert shown["40"] == [*first, [], *second, []]
    assert shown["60"] == [["id", "host", "error"], ["a" * 32, "node1"], ["b" * 32, "node2", "e"]]


def test_nothing_that_a_host_says_reaches_the_terminal_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[red]a\x1b[2J\x07\x9b\u202e\n"
    table.show([{hostile: hostile}], as_json=False)
    out = capsys.readouterr().out
    assert "[red]a\\x1b[2J\\x07\\x9b\\u202e\\n" in out
    assert all(sign.isprintable() or sign == "\n" for sign in out)


# --- recordings


def test_a_recording_is_written_out_whole(admin: Person) -> None:
    text = '{"version": 2}\n' + "".join(f'[{number}, "o", "häh"]\n' for number in range(60_000))  # several pieces
    place = admin.up.data / "server" / "recordings"
    place.mkdir()
    (place / f"{'a' * 32}.cast").write_text(text)
    assert admin.oms("recording", "a" * 32).out == text
    missing = admin.oms("recording", "b" * 32)
    assert (missing.code, missing.last.split(":")[1]) == (1, " FuncManError")
    assert admin.oms("recording", "../../audit").code == 2
