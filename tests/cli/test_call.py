"""`oms login`, `oms call`, `oms logout` against a real OMS, as a person and as a script uses them."""

import json
import re
import stat
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from oms.cli import call, output, words
from oms.contract.errors import MethodNotFound, ParameterMismatch, ServiceNotFound
from oms.contract.func import SignRequests
from oms.contract.kvm import ListVms, UpdateVmSettings
from oms.contract.task import WaitTask
from tests.cli.command import Ran, environment, oms
from tests.cli.served import Up
from tests.cli.terminal import Terminal
from tests.waiting import until

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
        self.secrets = home / "state" / "oms" / "secrets.json"
        self.profiles = home / "config" / "oms" / "profiles.toml"

    def oms(self, *words: object, stdin: str = "", **more: str) -> Ran:
        own = {"XDG_STATE_HOME": str(self.home / "state"), "XDG_CONFIG_HOME": str(self.home / "config")}
        return oms(*words, stdin=stdin, more={**own, **more})

    def shell(self, script: str) -> "subprocess.CompletedProcess[str]":
        own = {"XDG_STATE_HOME": str(self.home / "state"), "XDG_CONFIG_HOME": str(self.home / "config")}
        return subprocess.run(
            ["bash", "-c", script], env=environment(**own), capture_output=True, text=True, check=False
        )

    def kept(self, profile: str = "default") -> str:
        """The session that is kept."""
        return str(json.loads(self.secrets.read_text()).get(profile, ""))

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
    for file in (admin.secrets, admin.profiles):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert PASSWORD not in file.read_text()
    sessid = admin.kept()
    assert sessid not in admin.profiles.read_text()
    assert admin.oms("call", "authservices.checksessid").out == "0\n"
    assert admin.oms("logout").out == f"Logged out at {admin.up.shown('Address').rstrip('/')}.\n"
    assert sessid not in admin.secrets.read_text()
    ran = admin.oms("call", "authservices.checksessid")
    assert (ran.code, ran.last) == (4, "oms call: You are not logged in: `oms login` asks for all it needs.")
    assert admin.oms("logout").out == "Nobody was logged in.\n"


def test_each_profile_has_its_own_session_or_token_and_the_environment_may_say_all(admin: Person) -> None:
    token = admin.oms("users", "create-token", "backup", "viewer", "-o", "json")
    secret = str(json.loads(token.out)["token"])
    given = [admin.up.shown("Address"), "--ca-sha256", admin.up.shown("CA fingerprint"), "--profile", "backup"]
    ran = admin.oms("login", *given, "--token", stdin=f"{secret}\n")
    assert (ran.code, ran.err) == (0, "")
    assert set(tomllib.loads(admin.profiles.read_text())["profiles"]) == {"default", "backup"}
    assert admin.kept("backup") == secret
    who = {"default": "admin", "backup": "viewer"}
    for profile, role in who.items():
        assert (
            admin.oms("users", "whoami", "-o", "plain", OMS_PROFILE=profile).out.splitlines()[1] == f"role\t{role}"
        )
    ran = admin.oms("users", "list-users", "--profile", "backup")
    assert (ran.code, ran.last[:37]) == (4, "oms users list-users: AuthError: user")
    assert admin.oms("logout", "--profile", "backup").code == 0
    assert admin.oms("users", "whoami", "--profile", "backup").last.endswith(
        "`oms login --profile backup` asks for all it needs."
    )
    alone = {"OMS_URL": given[0], "OMS_CA_SHA256": given[2], "OMS_TOKEN": secret}
    assert json.loads(admin.oms("users", "whoami", "-o", "json", **alone).out)["token"] != ""


def test_what_is_not_given_is_asked_for_and_what_was_said_before_is_proposed(admin: Person) -> None:
    ran = admin.oms("login", stdin=f"\n\n\n{PASSWORD}\n")
    assert ran.code == 0, ran.err
    for asked in (f"Address [{admin.up.shown('Address').rstrip('/')}]", "CA fingerprint", "User [admin]"):
        assert asked in ran.out


def test_a_question_that_nobody_answers_is_told_and_one_that_is_broken_off_is_not(person: Person) -> None:
    for given in (["login"], ["login", person.up.shown("Address")], ["users", "change-password"]):
        ran = person.oms(*given)
        assert ran.code == 2
        assert "the standard input has ended" in ran.last
    with Terminal("login", more={"XDG_CONFIG_HOME": str(person.home)}) as terminal:
        terminal.until(b"Address")
        terminal.interrupt()
        terminal.press(b"\n")  # where readline began to wait in that moment, it takes a key to see the signal
        assert terminal.ended() == 130
    assert b"Aborted" not in terminal.shown


def test_a_login_that_fails_leaves_the_session_before(admin: Person) -> None:
    before = admin.kept()
    ran = admin.log_in("not the password")
    assert (ran.code, ran.out) == (4, "")
    assert ran.last.startswith("oms login: AuthError: ")
    ran = admin.log_in(**{"ca-sha256": "ab" * 32})
    assert ran.code == 4
    assert "is not the OMS that was meant" in ran.last
    assert admin.oms("login", "http://oms", "--user=a", "--ca-sha256=ab").code == 2
    assert "legal is 64 hexadecimal digits" in " ".join(admin.log_in(**{"ca-sha256": "ab"}).err.split())
    assert admin.kept() == before


# --- calls


def test_an_answer_is_a_table_for_people_and_json_for_programs(admin: Person) -> None:
    name = admin.up.shown("This machine")
    shown = admin.oms("call", "funcservices.list_signed")
    assert (shown.code, shown.err) == (0, "")
    head, row = shown.out.splitlines()
    assert "name" in head.split()
    assert name in row.split()
    assert ", x86_64" in row  # a tag by its name alone
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
    ran = admin.oms("kvm", "start-vm", name, "vm1")  # written down as a job, and then failed
    assert (ran.code, ran.out) == (5, "")
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
    address = admin.up.shown("Address").rstrip("/")
    admin.profiles.write_text(admin.profiles.read_text().replace(address, "https://127.0.0.1:1"))
    sessid = admin.kept()
    ran = admin.oms("call", "funcservices.list_signed")
    assert ran.code == 3
    assert ran.last == (
        "oms call: https://127.0.0.1:1 cannot be reached: nothing listens there; see that OMS is running."
    )
    assert admin.oms("logout").code == 3
    assert sessid not in admin.secrets.read_text()  # forgotten all the same


def test_what_is_kept_and_damaged_is_told_or_is_none(admin: Person) -> None:
    admin.secrets.write_text("{")
    assert admin.oms("call", "funcservices.list_signed").last.endswith("`oms login` asks for all it needs.")
    admin.profiles.write_text("[")
    ran = admin.oms("hosts", "list-signed")
    assert (ran.code, ran.err.splitlines()[-1][:22]) == (1, "oms hosts list-signed:")
    assert "is not TOML" in ran.last


def test_a_file_is_brought(admin: Person, tmp_path: Path) -> None:
    name, file = admin.up.shown("This machine"), tmp_path / "some.iso"
    file.write_bytes(bytes(3_000_000))
    ran = admin.oms("iso", "upload-image", name, "some.iso", file)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0].split() == ["size_bytes", "3000000"]
    assert admin.oms("iso", "list-images", name).out == "some.iso\n"
    ran = admin.oms("iso", "upload-image", name, "some.iso", file)
    assert (ran.code, ran.out) == (5, "")
    assert "some.iso" in ran.last


# --- words


def test_words_are_texts_where_a_text_is_legal_and_else_json() -> None:
    asked = words.understood("kvm.list_vms", ["node1", "cpu", "memory"], 5)
    assert (asked.op, asked.host, asked.cache_timeout) == (ListVms(("cpu", "memory")), "node1", 5)
    assert words.understood("kvmservices.list_vms", ["node1"]).op == ListVms()
    settings = words.understood("kvmservices.update_vm_settings", ["node1", "7", '{"memory": "48"}']).op
    assert settings == UpdateVmSettings("7", {"memory": "48"})  # a machine called 7 is no number
    assert words.understood("taskservices.wait_task", ["0" * 32, "5"]).op == WaitTask("0" * 32, 5)


def test_one_word_stands_for_a_list_of_one() -> None:
    for given in (["node2"], ['["node2"]']):
        assert words.understood("funcservices.sign_requests", given).op == SignRequests(("node2",))


def test_what_the_words_cannot_mean_is_named() -> None:
    for method, given, error in (
        ("kvmservices.list_vms", ["Node_1"], ParameterMismatch),
        ("authservices.checksessid", ["surplus"], ParameterMismatch),
        ("nonsense.list_vms", [], ServiceNotFound),
        ("kvmservices.nonsense", [], MethodNotFound),
    ):
        with pytest.raises(error):
            words.understood(method, given)


def test_methods_are_completed_with_what_they_do() -> None:
    assert call.methods("kvmservices.list_vms") == [
        ("kvmservices.list_vms", ListVms.facts.summary),
        (
            "kvmservices.list_vms_status",
            "State of every machine of a host, by name; `shutdown` means that it is off.",
        ),
    ]


# --- forms


def test_programs_have_the_answer_itself_or_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    answer = [{"name": "a,b", "x": {"y": 1}, "tags": ["t", "u"]}, {"name": "c", "x": {}, "tags": []}]
    shown = {}
    for form in output.FORMS:
        output.show(answer, form)
        shown[form] = capsys.readouterr().out
    assert json.loads(shown["json"]) == yaml.safe_load(shown["yaml"]) == answer
    assert shown["csv"] == 'name,x.y,tags\n"a,b",1,t u\nc,,\n'
    assert shown["plain"] == "a,b\t1\tt u\nc\t\t\n"
    assert shown["table"] == "name  x.y  tags\na,b   1    t u\nc\n"


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (
            [{"name": "a", "n": 1}, {"name": "bb", "tags": ["x", "y"]}],
            "name  n  tags\na     1\nbb       x y\n",
        ),
        ({"vm1": {"state": "running"}}, "name  state\nvm1   running\n"),
        ({"cpu": {"percentage": "1"}, "swap": {"used": "2"}}, "cpu.percentage  1\nswap.used       2\n"),
        ([{"id": "a", "x": {"y": 1}, "name": "a", "z": ""}], "name  x.y\na     1\n"),
        ([{"at": "2026-01-02T03:04:05.678Z", "on": True}], "at                   on\n2026-01-02 03:04:05  yes\n"),
        ({"memory": "Memory must be", "x": {"y": 1}}, "memory  Memory must be\nx.y     1\n"),
        (
            {
                "df": {"used": "9", "details": [{"mount": "/", "free": 1}, {"mount": "/a"}], "none": {}},
                "past": [1, None],
            },
            "df.used     9\ndf.details  mount / free 1\ndf.details  mount /a\ndf.none     {}\npast        1 -\n",
        ),
        ({"hosts": [{"name": "a", "n": 1}], "total": 7}, "name  n\na     1\n"),
        ({"guests": [{"name": "a", "load": 17.763671875, "tags": []}], "total": 1}, "name  load\na     17.76\n"),
        ({"guests": [], "total": 0}, ""),
        (["one", "two"], "one\ntwo\n"),
        ([["VG", "Name"], ["a b"]], "VG Name\na b\n"),
        (0, "0\n"),
        ("text", "text\n"),
        ([], ""),
        ({}, ""),
    ],
)
def test_answers_of_each_shape_are_shown(answer: Any, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.show(answer)
    assert capsys.readouterr().out == shown


def test_what_is_too_wide_for_a_terminal_stands_one_below_the_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = [{"id": "a" * 32, "size": "node1", "why": None}, {"id": "b" * 32, "size": "node2", "why": "e"}]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    shown = {}
    for width in ("40", "60"):
        monkeypatch.setenv("COLUMNS", width)
        output.show(answer)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        shown[width] = [line.split() for line in plain.splitlines()]
    first, second = [["id", "a" * 32], ["size", "node1"]], [["id", "b" * 32], ["size", "node2"], ["why", "e"]]
    assert shown["40"] == [*first, [], *second, []]
    assert shown["60"] == [["id", "size", "why"], ["a" * 32, "node1"], ["b" * 32, "node2", "e"]]


def test_what_tells_less_is_left_out_where_a_terminal_is_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    output.show([{"id": "a" * 32, "deadline": "2026-01-02T03:04:05Z", "state": "done"}])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.split() for line in plain.splitlines()] == [["id", "state"], ["a" * 32, "done"]]
    guests = [("a", str(uuid.uuid4())), ("b", "129"), ("c", str(uuid.uuid4()))]
    output.show([{"id": key, "name": name, "host": "node1", "tags": []} for name, key in guests])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.split() for line in plain.splitlines()] == [
        ["name", "id", "host"],
        ["a", "node1"],
        ["b", "129", "node1"],
        ["c", "node1"],
    ]
    empty: tuple[Any, ...] = ([], {"guests": [], "total": 0})
    for nothing in empty:
        output.show(nothing)
        assert capsys.readouterr() == ("", "There is none.\n")
    output.show({"guests": [{"name": "a"}], "total": 3})
    assert capsys.readouterr().err == "1 of 3: --offset and --most show others.\n"
    output.show({"failed_removals": []})
    assert capsys.readouterr() == ("", "")


def test_what_tells_less_is_left_out_of_a_pipe_too_where_each_thing_keeps_its_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = [{"id": "a" * 32, "notes": "n" * 90, "state": "done"}, {"id": "b" * 32, "state": "failed"}]
    for columns, heads in (("", ["id", "state"]), ("40", ["id", "state"]), ("20", ["id", "state"])):
        monkeypatch.setenv("COLUMNS", columns)
        output.show(answer)
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert lines == [heads, ["a" * 32, "done"], ["b" * 32, "failed"]]
    monkeypatch.setenv("COLUMNS", "200")
    output.show(answer)
    assert capsys.readouterr().out.split()[:3] == ["id", "notes", "state"]
    output.show(answer, "csv")
    assert capsys.readouterr().out.startswith("id,notes,state\n")


def test_nothing_that_a_host_says_reaches_the_terminal_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[red]a\x1b[2J\x07\x9b\u202e\n"
    output.show([{hostile: hostile}])
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


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("login", "http://oms:8000"), 2, "'http://oms:8000' is no address of OMS: legal is https://NAME:PORT."),
        (("login", "https://oms:99999"), 2, "'https://oms:99999' is no address of OMS"),
        (("kvm", "update-vm-settings", "h", "vm", "--set", "memory={bad"), 2, "begins as JSON and is none"),
        (("kvm", "update-vm-settings", "h", "vm", "--json", "/nowhere"), 1, "/nowhere: No such file or directory"),
        (("kvm", "start-vm", "h", "\udcff"), 2, "Invalid value for VM: got"),
        (("kvm", "start-vm", "h", "a" * 100_000), 2, "at most 63."),
    ],
)
def test_what_cannot_be_right_is_told_before_anybody_is_asked(
    words: tuple[str, ...], code: int, said: str
) -> None:
    ran = oms(*words)
    assert (ran.code, said in " ".join(ran.err.split())) == (code, True), ran.err
    assert len(ran.err) < 1000


def test_variables_and_files_that_are_wrong_are_told(person: Person) -> None:
    ran = person.oms("hosts", "list-signed", OMS_URL="oms", OMS_TOKEN="x")
    assert (ran.code, "'oms' is no address of OMS" in ran.last) == (1, True)
    person.profiles.parent.mkdir(parents=True)
    for text in ("profiles = 3", "[profiles.default]\nurl = 5", "default = 5", "[profiles]\ndefault = []"):
        person.profiles.write_text(text)
        ran = person.oms("hosts", "list-signed")
        assert (ran.code, f"{person.profiles} has no profiles: " in ran.last) == (1, True), ran.err


def test_a_console_wants_somebody_who_types(person: Person) -> None:
    ran = person.shell(f"{sys.executable} -m oms console node1 </dev/null")
    assert (ran.returncode, ran.stderr) == (
        1,
        "oms console: A console takes a terminal, or a pipe, as its standard input.\n",
    )


def test_an_ended_session_and_a_full_disk_are_told_and_a_closed_pipe_is_not(person: Person) -> None:
    person.log_in()
    kept = person.secrets.read_text()
    script = f"{sys.executable} -m oms hosts list-signed"
    for redirected, said in ((">/dev/full", "oms hosts list-signed: No space left on device\n"), ("| true", "")):
        ran = person.shell(f"{script} {redirected}")
        assert ran.stderr == said
    person.oms("logout")
    person.secrets.write_text(kept)
    ended = person.oms("hosts", "list-signed")
    assert (ended.code, "`oms login` begins another" in ended.last) == (4, True)
