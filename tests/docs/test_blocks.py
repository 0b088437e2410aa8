"""What the documentation shows can be typed as it stands: commands exist, bodies decode, settings are known."""

import configparser
import contextlib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import typer
import yaml

from oms.agent.config import AgentConfig
from oms.cli import asking, commands, profiles
from oms.cli.main import app
from oms.contract import openrpc
from oms.contract.decode import decode, find
from oms.contract.errors import OmsError
from oms.contract.registry import BY_NAME
from oms.server.config import ServerConfig
from oms.settings import SettingsError, load
from tests.docs import blocks
from tests.docs.blocks import ALL, OMS, PAGES, ROOT, SHELL, Block

KINDS = {"sh", "console", "text", "json", "toml", "yaml", "ini", "sql", "python", "{toctree}", "{include}"}
SETTINGS: dict[str, Any] = {"server": ServerConfig, "agent": AgentConfig}
ENVIRONMENT = {
    "OMS_PROFILE",
    "OMS_URL",
    "OMS_TOKEN",
    "OMS_CA_SHA256",
    "OMS_CA_FILE",
    "OMS_ADMIN_PASSWORD",
    "OMS_PEERS",
}
"""Variables that are no settings."""
CLI = typer.main.get_command(app)


def test_each_block_says_what_it_is() -> None:
    assert [f"{block} {block.info!r}" for block in ALL if block.kind not in KINDS] == []
    typed = re.compile(r"^(\$ )?(\.venv/bin/|runuser -u oms -- )?(oms|curl) ", re.MULTILINE)
    assert [str(block) for block in ALL if block.kind == "text" and typed.search(block.text)] == []


@pytest.mark.parametrize("block", [block for block in ALL if block.kind == "ini"], ids=str)
def test_each_part_of_a_unit_can_be_read(block: Block) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(block.text)
    assert set(unit.sections()) <= {"Unit", "Service", "Install"}


# --- commands


def test_every_oms_command_is_one() -> None:
    """Down to its words: what it would send decodes."""
    wrong, seen = [], 0
    for block in SHELL:
        for line in blocks.commands(block.commands):
            if line[0] in OMS:
                seen += 1
                if said := refused(line[1:]):
                    wrong.append(f"{block}: oms {' '.join(line[1:])}: {said}")
    assert wrong == []
    assert seen > 20


def test_every_oms_command_in_a_sentence_is_one() -> None:
    wrong, seen = [], 0
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for typed in re.findall(r"`oms ([^`\n]+)`", prose):
            seen += 1
            found = list(names(typed.split()))
            if not found:
                wrong.append(f"{page.name}: oms {typed}")
    assert wrong == []
    assert seen > 20


def names(typed: list[str]) -> Iterator[Any]:
    """The command that the first words name, as far as they do; nothing where they name none."""
    at: Any = CLI
    context = typer.Context(CLI, info_name="oms")
    for word in typed:
        if not hasattr(at, "get_command"):
            break
        if word.startswith("-"):
            known = {option for param in at.get_params(context) for option in param.opts}
            if word in known:
                break
            return
        if not word.islower() or not word[0].isalpha():
            break  # GROUP, COMMAND, …: any of them
        at = at.get_command(context, word)
        if at is None:
            return
        at = getattr(at, "_itself", lambda group=at: group)()
    else:
        yield at
        return
    for word in typed:
        if word.startswith("--") and not hasattr(at, "get_command"):
            known = {option for param in at.get_params(context) for option in (*param.opts, *param.secondary_opts)}
            if word.partition("=")[0] not in known:
                return
    yield at


def refused(given: list[str]) -> str:
    """Why a command would not be begun; empty where it would."""
    try:
        with understood() as patch:
            leaf, context = parsed(given, patch)
            group = context.parent.command if context.parent else None
            own = isinstance(group, commands.OfService) and (group.name, leaf.name) not in commands.HERE
            if own or leaf.name == "call":
                context.invoke(leaf.callback, **context.params)
    except (Understood, typer.Exit):
        return ""
    except Exception as wrong:  # noqa: BLE001 - whatever it says is what is wrong with the page
        return f"{type(wrong).__name__}: {getattr(wrong, 'message', wrong)}"
    return ""


def parsed(given: list[str], patch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The command that words name, and its context; what files they name need not be there."""
    at: Any = CLI
    context = at.make_context("oms", list(given))
    while hasattr(at, "get_command") and (left := [*context._protected_args, *context.args]):
        name, found, rest = at.resolve_command(context, left)
        for param in getattr(found, "params", ()):
            if getattr(param.type, "exists", False):
                patch.setattr(param.type, "exists", False)
        at, context = found, found.make_context(name, rest, parent=context)
    return at, context


class Understood(BaseException):
    """A command has come as far as to be done."""


@contextlib.contextmanager
def understood() -> Iterator[pytest.MonkeyPatch]:
    """Calls are not made meanwhile, only understood."""

    def stop(*_: Any, **__: Any) -> None:
        raise Understood

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "make", stop)
        patch.setattr(asking, "password", lambda *_, **__: "seven purple whales at noon")
        patch.setattr(asking, "measured", lambda _: (5, "0" * 64))
        yield patch


# --- calls


def test_every_call_by_curl_decodes() -> None:
    wrong, seen = [], 0
    for block in SHELL:
        text = block.commands
        for line in blocks.commands(text):
            for service, method, params in calls_of(line) if line[0] == "curl" else ():
                seen += 1
                try:
                    decode(find(service, method), params)
                except OmsError as error:
                    wrong.append(f"{block}: {service}.{method}: {error.message}")
    assert wrong == []
    assert seen > 10


def calls_of(line: list[str]) -> Iterator[tuple[Any, Any, Any]]:
    """Service, method and parameters of the calls that a command of curl makes."""
    for place, word in enumerate(line):
        if word in ("-d", "--json", "--data"):
            body = json.loads(filled(line[place + 1]))
            for call in body if isinstance(body, list) else [body]:
                if "jsonrpc" in call:
                    service, _, method = call["method"].rpartition(".")
                    params = call["params"]
                    yield service, method, {"SESSID": "S", **params} if isinstance(params, dict) else params
                else:
                    yield call["service"], call["method"], call["params"]
        elif "?" in word and "service=" in word:
            query = parse_qs(urlsplit(filled(word)).query)
            yield query["service"][0], query["method"][0], json.loads(unquote(query["params"][0]))


def filled(text: str) -> str:
    """With something in the place of a shell's variables."""
    text = text.replace("$(hostname)", "node1").replace("0$1", "0")
    return re.sub(r"\$\{?(\w+)\}?", lambda found: {"1": "start_vm", "2": '"demo"'}.get(found[1], "S"), text)


def test_every_method_that_is_named_there_is() -> None:
    wrong, seen = [], 0
    for page in PAGES:
        for service, method in re.findall(r"\b(\w+services)[./](\w+)\b", page.read_text(encoding="utf-8")):
            seen += 1
            if method not in BY_NAME.get(service, ()) and method not in ("py", "md"):
                wrong.append(f"{page.name}: {service}.{method}")
    assert wrong == []
    assert seen > 30


# --- settings


def test_every_setting_in_an_example_is_known_and_may_be_so(tmp_path: Path) -> None:
    seen = 0
    for block in ALL:
        if block.kind != "toml":
            continue
        tables = tomllib.loads(block.text)
        if "profiles" in tables:
            hold_profiles(tables, block)
            continue
        file = tmp_path / "oms.toml"
        file.write_text(block.text, encoding="utf-8")
        assert tables, block
        for table in tables:
            seen += 1
            try:
                load(SETTINGS[table], flags={}, file=file, section=table, environment={})
            except (SettingsError, KeyError) as wrong:
                pytest.fail(f"{block}: {wrong}")
    assert seen > 3


def hold_profiles(tables: dict[str, Any], block: Block) -> None:
    known = set(profiles.Profile.__struct_fields__) | {"url"}
    for profile in tables["profiles"].values():
        assert set(profile) <= known, block


def test_the_page_of_settings_has_each_once() -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    for title, kind in (("server setting", ServerConfig), ("agent setting", AgentConfig)):
        table = text.partition(f"| {title} |")[2].partition("\n\n")[0]
        named = [
            name
            for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
            for name in re.findall(r"`(\w+)`", row)
        ]
        assert sorted(named) == sorted(set(kind.__struct_fields__) - {"admin_password"}), title


def test_every_variable_that_is_named_sets_something() -> None:
    known = ENVIRONMENT | {f"OMS_{name.upper()}" for name in ServerConfig.__struct_fields__}
    known |= {f"OMS_AGENT_{name.upper()}" for name in AgentConfig.__struct_fields__}
    for page in PAGES:
        named = set(re.findall(r"\bOMS_[A-Z_0-9]+[A-Z0-9]\b", page.read_text(encoding="utf-8")))
        assert named <= known, page.name


def test_what_to_do_is_said_of_each_error_once() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    names, reasons = (part.partition("\n## ")[0] for part in text.split("|---|---|\n")[1:3])
    for table, wanted in (
        (names, [error.wire_name for error in openrpc.errors()]),
        (
            reasons,
            sorted(
                {kind.reason for kind in OmsError.kinds.values() if kind.reason and "contract" in kind.__module__}
            ),
        ),
    ):
        first = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
        assert sorted(name for cell in first for name in re.findall(r"`(\w+)`", cell)) == sorted(wanted)


# --- the rest


def test_every_block_of_data_can_be_read() -> None:
    for block in ALL:
        if block.kind == "json":
            json.loads(block.text)
        elif block.kind == "yaml":
            assert yaml.safe_load(block.text), block
        elif block.kind == "python":
            compile(block.text, str(block), "exec")
