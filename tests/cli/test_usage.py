"""Exit codes and words: 0 done, 1 something failed (one sentence says what), 2 wrong use or settings."""

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from oms.cli import main, up
from tests.cli.command import OMS, Ran, environment, oms


class Used(Protocol):
    """What the fixture `used` is."""

    def __call__(self, *words: object, **more: str) -> Ran:
        """Run a command that gets no further than its settings, which takes no process of its own."""


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Used:
    def run(*words: object, **more: str) -> Ran:
        for name in os.environ.keys() - environment().keys():
            monkeypatch.delenv(name)
        for name, value in environment(**more).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["oms", *map(str, words)])
        monkeypatch.setattr("oms.cli.logs.set_up", None)  # from there on it would change this process
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = capfd.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its settings."""
    return tmp_path / "oms.toml"


# --- wrong use


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["up", "--nosuch"], "No such option: --nosuch"),
        (["agent", "nosuch"], "No such command 'nosuch'"),
        (["admin", "add-user"], "Missing argument"),
        (["admin", "add-user", "anna", "--role", "king"], "legal are viewer, operator, admin"),
        (["admin", "add-user", "an na"], "legal is a user's name"),
        (["admin", "add-user", "anna", "--password"], "12 to 1024 characters"),
        (["server", "--config", "/nonexistent.toml"], "does not exist"),
        (["up", "--listen", "nonsense"], "legal is host:port, as in 127.0.0.1:8000"),
        (["up", "--bus-listen", "127.0.0.1:99999"], "legal is host:port"),
        (["server", "--listen", "127.0.0.1"], "legal is host:port"),
        (["server", "--tls-certificate", "/etc/hostname"], "tls_certificate needs tls_key, and tls_ca"),
        (["agent"], "legal is https://NAME:PORT"),
        (["agent", "--server", "http://oms"], "legal is https://NAME:PORT"),
        (["agent", "--server", "https://oms", "--ca-sha256", "ab"], "64 hexadecimal digits"),
        (["agent", "enrol", "--server", "https://oms", "--name", "a b"], "legal are lower-case letters"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_is_legal(
    words: list[str], said: str, used: Used, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    ran = used(*words, OMS_DATA=str(tmp_path / "data"))
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.last
    assert not (tmp_path / "data").exists()


def test_without_a_command_the_help_is_shown(used: Used) -> None:
    assert used().err == used("--help").out
    assert used().code == 2
    assert used("--version").code == 0


def test_help_and_version_are_found_where_people_look_for_them(used: Used) -> None:
    whole = used("kvm", "start-vm", "--help").out
    assert used("kvm", "start-vm", "-h").out == used("help", "kvm", "start-vm").out == whole
    assert used("help").out == used("-h").out == used("--help").out
    assert used("version").out == used("--version").out


# --- settings


@pytest.mark.parametrize("command", ["server", "up"])
def test_flags_come_before_the_environment_before_a_file(command: str, used: Used, file: Path) -> None:
    """Each address is refused: who wins is whose words are repeated."""
    file.write_text('[server]\nlisten = "of the file"\n')
    words = (command, "--config", file)
    assert "'of the file'" in used(*words).last
    assert "'of the environment'" in used(*words, OMS_LISTEN="of the environment").last
    assert "'of a flag'" in used(*words, "--listen", "of a flag", OMS_LISTEN="of the environment").last


def test_up_has_defaults_of_its_own_and_a_bus_beside_its_address(file: Path) -> None:
    file.write_text("[server]\nkeep_bus = true\n")
    settings = up._settings(None, {"listen": "[::1]:9000"})
    assert (settings.listen, settings.bus_listen, settings.keep_bus) == ("[::1]:9000", "[::1]:4222", False)
    settings = up._settings(file, {"bus_listen": "127.0.0.1:4000"})
    assert (settings.listen, settings.bus_listen, settings.keep_bus) == ("127.0.0.1:8000", "127.0.0.1:4000", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nlistne = 'x:1'", "There is no setting listne (in {}): did you mean listen?"),
        ("[srever]\nlisten = 'x:1'", "There is no table [srever] (in {}): did you mean server?"),
        ("listen = 'x:1'", "listen stands in no table (in {}): put it below [server] or [agent]."),
        ("[server]\nsession_idle = 'soon'", "session_idle (in {}) is 'soon': legal is a number above 0."),
        ("[server]\nlogin_tries = 0", "login_tries (in {}) is 0: legal is a whole number from 1."),
        ("[server]\ncertificate_days = 91", "is 91: legal is a whole number from 1 to 90."),
        ("[server]\nkeep_bus = 'maybe'", "is 'maybe': legal is true or false."),
        ("[server]\nlog_format = 'xml'", "is 'xml': legal is console or json."),
        ("[server]\nnames = [1]", "is [1]: legal is a list of texts, or one text with commas."),
        ("[server]\ndata = 1", "is 1: legal is a path."),
        ("[server]\nlisten = 8000", "is 8000: legal is a text."),
        ("[server", "is not TOML"),
    ],
)
def test_a_wrong_file_is_told_by_name_with_what_is_legal(text: str, said: str, used: Used, file: Path) -> None:
    file.write_text(text)
    for command in ("server", "up"):
        ran = used(command, "--config", file)
        assert ran.code == 2
        assert said.format(file) in ran.last


def test_a_wrong_value_in_the_environment_is_told_like_one_in_a_file(used: Used) -> None:
    ran = used("server", OMS_SESSION_IDLE="-5")
    assert ran.code == 2
    assert ran.last == "oms: session_idle (in the environment) is '-5': legal is a number above 0."


def test_the_agents_table_is_the_agents_own(used: Used, file: Path) -> None:
    file.write_text("[server]\nlisten = 'nonsense'\n[agent]\nsrever = 'https://oms'\n")
    assert used("agent", "--config", file).last.endswith("did you mean server?")
    file.write_text("[agent]\nserver = 'https://oms'\nrejoin_after = -1\n")
    for words in (["agent", "--config", file], ["agent", "enrol", "--config", file]):
        assert used(*words).last.endswith("is -1: legal is a number from 0.")


# --- what fails


@pytest.fixture
def taken() -> Iterator[str]:
    """An address where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_an_address_in_use_is_told(taken: str, tmp_path: Path) -> None:
    for command in ("server", "up"):
        ran = oms(command, "--listen", taken, "--data", tmp_path / "data")
        said = f"oms {command}: {taken} cannot be listened on: Address already in use."
        assert (ran.code, ran.last) == (1, f"{said} End what listens there, or give another --listen.")


def test_a_port_that_takes_a_privilege_is_told(tmp_path: Path) -> None:
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*bare, *OMS, "server", "--listen", "127.0.0.1:443", "--data", str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "127.0.0.1:443 cannot be listened on: Permission denied. Ports below 1024 need" in done.stderr


def test_a_bus_address_in_use_is_told_once(taken: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = f"127.0.0.1:{probe.getsockname()[1]}"
    ran = oms("up", "--listen", free, "--bus-listen", taken, "--data", tmp_path / "data")
    assert (ran.code, ran.last) == (1, "oms up: The server did not start: what it said stands above.")
    assert ran.err.count(f"{taken}: bind: address already in use") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of somebody else")
def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "server").mkdir(parents=True)
    for path in (theirs / "server", theirs):
        os.chown(path, 65534, 65534)
    said = "belongs to nobody: run as that user, or give another --data."
    ran = oms("up", "--data", theirs, "--listen", "127.0.0.1:0")
    assert (ran.code, ran.last) == (1, f"oms up: {theirs} {said}")
    os.chown(theirs, 0, 0)
    ran = oms("server", "--data", theirs, "--listen", "127.0.0.1:0")
    assert (ran.code, ran.last) == (1, f"oms server: {theirs / 'server'} {said}")
    assert [path.name for path in theirs.iterdir()] == ["server"]


def test_a_data_directory_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for words in (["up"], ["agent", "--server", "https://127.0.0.1:1", "--ca-sha256", "ab" * 32]):
        ran = oms(*words, "--data", tmp_path / "file")
        assert ran.code == 1
        assert f"{tmp_path / 'file'}" in ran.last
        assert "give another --data." in ran.last


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("DATABASE", "nonsense", "That is no database known here: legal is postgresql"),
        ("DATABASE", "postgresql+asyncpg://h/d", "needs the Python package asyncpg, which is not installed"),
        ("DATABASE", "sqlite:////nonexistent/oms.db", "OMS's database cannot be reached"),
        ("ADMIN_PASSWORD", "short", "OMS_ADMIN_PASSWORD will not do: A password has 12 to 1024 characters."),
    ],
)
def test_what_cannot_be_used_ends_the_start(setting: str, value: str, said: str, tmp_path: Path) -> None:
    ran = oms("up", "--data", tmp_path, "--listen", "127.0.0.1:0", more={f"OMS_{setting}": value})
    assert ran.code == 1
    assert said in ran.last


def test_a_certificate_that_cannot_be_used_is_told_before_anything_is_made(tmp_path: Path) -> None:
    given = [f"--tls-{part}={tmp_path / part}" for part in ("certificate", "key", "ca")]
    said = f"{tmp_path / 'certificate'} and {tmp_path / 'key'} are no certificate with its key (PEM)"
    for command in ("server", "up"):
        ran = oms(command, "--data", tmp_path, "--listen", "127.0.0.1:0", *given)
        assert (ran.code, ran.last) == (1, f"oms {command}: {said}: No such file or directory.")
    assert not (tmp_path / "server" / "tls").exists()


def test_the_signer_says_what_is_wrong_with_its_places(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "run").write_text("")
    for words, said in (
        (["--directory", tmp_path, "--socket", tmp_path / "s"], f"{tmp_path} must belong to the signer's user"),
        (["--directory", tmp_path / "a" / "b", "--socket", tmp_path / "s"], "cannot be opened as a directory"),
        (["--directory", tmp_path / "a", "--socket", tmp_path / "run" / "s"], "cannot be made: Not a directory"),
        (["--user", "nobody-of-that-name"], "There is no user 'nobody-of-that-name'"),
    ):
        ran = oms("signer", *words)
        assert ran.code == 1
        assert said in ran.last


def test_administration_needs_a_server_that_was_there_before(tmp_path: Path) -> None:
    data = tmp_path / "none"
    for words in (["add-user", "anna"], ["reset-password", "anna"], ["sign", "h1", "--key-sha256", "ab"]):
        ran = oms("admin", *words, "--data", data)
        assert (ran.code, ran.last) == (
            1,
            f"oms admin: There is no OMS in {data}: name its data directory with --data.",
        )
    assert not data.exists()


def test_a_document_goes_to_the_screen_a_file_or_nowhere(tmp_path: Path) -> None:
    examples = ("docs/reference/examples.json",)
    for kind, given, begins in (("openrpc", (), "{"), ("reference", examples, "# The API")):
        shown = oms("contract", kind, *given)
        assert shown.code == 0
        assert shown.out.startswith(begins)
        assert oms("contract", kind, *given, "--write", tmp_path / kind).out == ""
        assert (tmp_path / kind).read_text() == shown.out
        ran = oms("contract", kind, *given, "--write", tmp_path / "none" / kind)
        assert (ran.code, ran.out) == (1, "")
        assert ran.last.startswith(f"oms contract: {tmp_path / 'none' / kind} cannot be written")


def test_a_reader_that_has_enough_is_no_failure_to_make_words_of() -> None:
    with subprocess.Popen(
        [*OMS, "contract", "openrpc"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.read(10)
        command.stdout.close()
        assert command.stderr.read() == b""


def test_a_package_that_is_not_installed_is_named_with_who_has_it() -> None:
    """A host has the agent's packages alone: what it cannot do is told, and is not in the help."""
    without = "import sys; sys.modules.update(sqlalchemy=None, httpcore=None); "
    command = [sys.executable, "-c", f"{without}from oms.cli.main import main; main()"]

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False, env=environment())

    for words, package in (
        (["up"], "sqlalchemy"),
        (["server"], "sqlalchemy"),
        (["admin", "add-user", "anna"], "sqlalchemy"),
        (["call", "funcservices.list_signed"], "httpcore"),
    ):
        done = ran(*words)
        assert done.returncode == 1
        assert done.stderr.startswith(f"oms: this command needs {package}, which is not installed here")
    for word in ("up", "server", "signer", "admin"):
        assert f"\n  {word} " not in ran("--help").stdout
    assert "\n  agent " in ran("--help").stdout


# --- completion


def completed(used: Used, line: str) -> list[str]:
    place = str(len(line.split(" ")) - 1)
    return used(_OMS_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=place).out.split()


def test_a_shell_completes_commands_and_options(used: Used) -> None:
    assert completed(used, "oms a") == ["agent", "admin", "auth", "audit"]
    assert completed(used, "oms kvm list-vms-s") == ["list-vms-status"]
    assert completed(used, "oms kvm create-file-based-image h a.img 1 --diskimage-format q") == ["qcow2"]
    assert {"add-user", "list-users", "reset-password", "sign"} <= set(completed(used, "oms admin "))
    assert "--bus-listen" in completed(used, "oms up --b")
    assert completed(used, "oms call kvmservices.list_vms_s") == ["kvmservices.list_vms_status"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_what_it_needs_to_complete(shell: str, used: Used) -> None:
    assert "_OMS_COMPLETE=complete_" in used(_OMS_COMPLETE=f"source_{shell}").out
