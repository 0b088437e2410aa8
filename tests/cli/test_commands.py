"""Each method of the API as a command: what its words mean, and what cannot be meant."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from oms.cli import asking, commands, words
from oms.cli.main import app
from oms.contract import pages
from oms.contract.decode import Decoded, decode, is_secret
from oms.contract.func import ListSigned, SignRequests
from oms.contract.incoming import Upload
from oms.contract.kvm import ListVms, UpdateVmSettings
from oms.contract.operation import CACHE_TIMEOUT, HostOperation, Operation
from oms.contract.registry import OPERATIONS
from oms.contract.tag import ChangeHostType, HostType
from oms.contract.task import ListTasks
from oms.contract.types import encode_secret
from tests import golden_file

GOLDEN = Path(__file__).parent / "golden" / "commands"
SHOWN = (
    "kvm",
    "kvm list-vms",
    "kvm update-vm-settings",
    "iso upload-image",
    "hosts sign-requests",
    "users add-user",
)
"""Commands of which each has something that the others have not."""


@pytest.fixture
def meant(monkeypatch: pytest.MonkeyPatch) -> list[Decoded]:
    """What commands mean to call; nothing is called."""
    seen: list[Decoded] = []
    monkeypatch.setattr(asking, "make", lambda asked, *_: seen.append(asked))
    return seen


def ran(*given: str, stdin: str = "") -> Any:
    return CliRunner().invoke(app, list(given), input=stdin, env={"COLUMNS": "100"})


def path(kind: type[Operation[Any]]) -> list[str]:
    """The words of an operation's command."""
    return [commands.group_name(kind.facts.service), commands.command_name(kind.facts.name)]


def typed(kind: type[Operation[Any]], values: list[Any], file: Path) -> tuple[list[str], str]:
    """What somebody types who wants that, and what he answers where he is asked."""
    places, options, rest, answers = [], [], [], []
    for param, value in zip(kind.facts.params, values, strict=False):
        if is_secret(param.type):
            answers.append(value)
        elif words.is_settings(param.type):
            options += ["--json", "-"]
            answers.append(msgspec.json.encode(value).decode())
        elif param.name in commands.FRONT or (commands.brings(kind) and param.name in commands.OF_FILES):
            continue
        elif param.varargs or words.item(param.type):
            many = value if isinstance(value, list) else [value]
            rest += [word if isinstance(word, str) else msgspec.json.encode(word).decode() for word in many]
        else:
            places.append(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    brought = [str(file)] if commands.brings(kind) else []
    return [*places, *brought, *rest, *options], "\n".join(answers)


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.facts.wire)
def test_the_documented_example_of_each_method_can_be_typed(
    kind: type[Operation[Any]], meant: list[Decoded], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"bytes")
    example = pages.example(kind)
    given, stdin = typed(kind, example, file)
    done = ran(*path(kind), *given, stdin=f"{stdin}\n")
    assert done.exit_code == 0, done.output
    (asked,) = meant
    wanted = decode(kind, example)
    if kind.facts.result is Upload:
        known = {"size_bytes": 5, "sha256": asked.op.sha256}  # type: ignore[attr-defined]
        wanted = msgspec.structs.replace(wanted, op=msgspec.structs.replace(wanted.op, **known))
        assert len(known["sha256"]) == 64
    encoded = [msgspec.json.encode(part.op, enc_hook=encode_secret) for part in (asked, wanted)]
    assert encoded[0] == encoded[1]
    assert asked.host == wanted.host
    assert asked.cache_timeout == 0
    assert ("--cache" in ran(*path(kind), "--help").output) == (
        issubclass(kind, HostOperation) and CACHE_TIMEOUT in kind.front and not kind.facts.changes
    )


@pytest.mark.parametrize("command", SHOWN)
def test_the_help_of_commands_is_the_golden_one(command: str) -> None:
    done = ran(*command.split(), "--help")
    assert done.exit_code == 0
    golden_file.check(GOLDEN / f"{command.replace(' ', '-')}.txt", done.output)


def test_settings_are_given_one_by_one_over_those_of_a_file(meant: list[Decoded], tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"memory": "64", "vcpu": 2}')
    done = ran("kvm", "update-vm-settings", "node1", "7", "--json", str(file), "--set", "memory=48")
    assert done.exit_code == 0, done.output
    assert [asked.op for asked in meant] == [UpdateVmSettings("7", {"memory": "48", "vcpu": 2})]


def test_lists_are_as_many_words_as_they_have_parts(meant: list[Decoded]) -> None:
    for given in (
        ("hosts", "sign-requests", "node2", "node3"),
        ("kvm", "list-vms", "node1", "cpu", "memory", "--cache", "5"),
        ("tags", "change-host-type", "node1=KVM", '{"name": "node2", "type": "OpenVZ"}'),
    ):
        assert ran(*given).exit_code == 0
    assert [asked.op for asked in meant] == [
        SignRequests(("node2", "node3")),
        ListVms(("cpu", "memory")),
        ChangeHostType((HostType("node1", "KVM"), HostType("node2", "OpenVZ"))),
    ]
    assert meant[1].cache_timeout == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("kvm start-vm node1", "Missing argument 'VM'"),
        ("kvm start-vn node1 a", "Did you mean 'start-vm'"),
        ("ovs start-vm node1 a", "Did you mean 'ovz'"),
        ("tasks list", "Did you mean 'list-tasks'?"),
        ("kvm images", "Did you mean 'list-file-based-images', "),
        ("list-vms node1", "Did you mean 'kvm list-vms', 'guests list-vms', 'ovz list-vms'?"),
        ("task list-tasks", "Did you mean 'tasks'?"),
        ("kvm start-vm Node_1 a", 'Invalid value for HOST: got "Node_1"; legal is a host\'s name'),
        ("tasks list-tasks --host Node_1", "Invalid value for --host: got"),
        ("tasks list-tasks --state weird", '--state: got "weird"; legal are queued, sent, running, done,'),
        ("users add-user anna --role king", '--role: got "king"; legal are viewer, operator, admin.'),
        ("call kvmservices.list_vm node1", 'has no method "list_vm". Did you mean kvmservices.list_vms?'),
        ("call kvmservces.list_vms node1", "There is no service kvmservces. Did you mean kvmservices.list_vms?"),
        ("call list_vms node1", "legal is SERVICE.METHOD, as in kvmservices.list_vms"),
        ("kvm list-vms node1 weather", "legal is a statistic"),
        ("kvm list-vms node1 --output xml", "legal are table, json, yaml, csv, plain"),
        ("kvm update-vm-settings node1 a", "nothing is to be changed: give --set NAME=VALUE"),
        ("kvm update-vm-settings node1 a --set memory", "legal is NAME=VALUE"),
        ("kvm update-vm-settings node1 a --json -", "- is no JSON object"),
        ("iso upload-image node1 a.iso /nonexistent", "does not exist"),
    ],
)
def test_what_cannot_be_meant_is_told_with_what_is_legal(given: str, said: str, meant: list[Decoded]) -> None:
    done = ran(*given.split(), stdin="[]")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert meant == []


def test_a_host_is_an_option_of_the_name_that_people_try(meant: list[Decoded]) -> None:
    for option in ("--host", "--server-hostname"):
        assert ran("tasks", "list-tasks", option, "node1").exit_code == 0
    assert ran("hosts", "list-signed", "--tag", "web").exit_code == 0
    assert [asked.op for asked in meant] == [*[ListTasks(server_hostname="node1")] * 2, ListSigned("web")]


def test_a_password_is_never_a_word_of_a_command(meant: list[Decoded], monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran("users", "add-user", "anna", "some words of her own").exit_code == 2
    monkeypatch.setattr("sys.stdin", io.StringIO())
    done = ran("users", "add-user", "anna", "--role", "operator", stdin="some words of her own\n")
    assert done.exit_code == 0
    assert "words" not in done.output
    (asked,) = meant
    assert asked.op.new_password.reveal() == "some words of her own"  # type: ignore[attr-defined]
