"""A command for each method of the API, made of its declaration when it is asked for: `oms kvm list-vms HOST`.

What must be given are words in their order, what may be given are options; settings are given one by one with
`--set`, passwords are asked for, and of a file that is brought only its path is named.
"""

import functools
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from oms.cli import words
from oms.cli.completing import guests, hosts, profiles
from oms.cli.groups import HELP, Command, Group
from oms.contract.decode import is_secret
from oms.contract.incoming import Upload
from oms.contract.openrpc import default
from oms.contract.operation import HostOperation, Operation, Param, Permission, Service
from oms.contract.registry import SERVICES

SUFFIX = "services"
NAMES = {
    "funcservices": "hosts",
    "kvmplusovzservices": "guests",
    "netinterfaceservices": "network",
    "tagservices": "tags",
    "taskservices": "tasks",
    "userservices": "users",
    "consoleservices": "consoles",
}
"""Where the service's own name without `services` says too little."""
METAVARS = {"kvm_vm_name": "VM", "kvm_name": "VM", "container_id": "CTID", "ct_id": "CTID", "size_mb": "MB"}
OPTIONS = {
    "server_hostname": "host",
    "optional_tag_name": "tag",
    "user_name": "user",
    "vm_name": "guest",
    "vm_type": "kind",
    "diskimage_format": "format",
}
"""Names of options that people try first; the API's own are understood too."""
FRONT = ("SESSID", "cache_timeout")
OF_FILES = ("size_bytes", "sha256")
"""What is known from the file itself, where one is brought."""
_NOTHING_SAID = re.compile(r'; answers (?:0|\[0, "", ""\])(?=[.,])')
ROLES = {
    Permission.NOBODY: "Anybody may do it.",
    Permission.VIEWER: "Needs the role viewer.",
    Permission.OPERATOR: "Needs the role operator.",
    Permission.ADMIN: "Needs the role admin.",
}


HERE = {("audit", "verify"): ("oms.cli.audit", "sqlalchemy")}
"""Commands among those of a service that are no calls: the module, and a package that it needs."""


def installed(package: str) -> bool:
    """Whether a package is there, without the time that it takes to load it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:
        return False


def group_name(service: Service) -> str:
    """The word that stands for a service: `kvm` for `kvmservices`."""
    return NAMES.get(service.name, service.name.removesuffix(SUFFIX))


@functools.cache
def by_group() -> dict[str, Service]:
    """The services by the words that stand for them."""
    return {group_name(service): service for service in SERVICES}


def command_name(name: str) -> str:
    """`list_vms` -> `list-vms`."""
    return name.replace("_", "-")


class OfService(Group):
    """The commands of one service."""

    def __init__(self, service: Service) -> None:
        name = group_name(service)
        super().__init__(name=name, help=service.summary, no_args_is_help=True, rich_markup_mode=None)
        self._here = {word: at for (group, word), at in HERE.items() if group == name and installed(at[1])}
        self._methods = {command_name(name): kind for name, kind in SERVICES[service].items()}
        self.commands: Any = dict.fromkeys(self.list_commands(None))  # for what is near to a word that is none

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Main names only, in the order of the declarations."""
        return [*self._here, *(command_name(kind.facts.name) for kind in dict.fromkeys(self._methods.values()))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The command of that name, or None."""
        if cmd_name in self._here:
            app = importlib.import_module(self._here[cmd_name][0]).app
            return typer.main.get_command(app).commands[cmd_name]  # type: ignore[attr-defined]
        kind = self._methods.get(cmd_name) or self._methods.get(command_name(cmd_name))
        return command(kind) if kind else None


@functools.cache
def command(kind: type[Operation[Any]]) -> Any:
    """The command that calls an operation."""
    made = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    path = f"{group_name(kind.facts.service)} {command_name(kind.facts.name)}"

    def run(**given: Any) -> None:
        from oms.cli import asking

        asking.run(kind, path, given)

    run.__signature__ = inspect.Signature(list(_parameters(kind)))  # type: ignore[attr-defined]
    named = made.command(
        command_name(kind.facts.name), cls=Command, help=_help(kind), short_help=_said(kind.facts.summary)
    )
    named(run)
    return typer.main.get_command(made)


def usage(kind: type[Operation[Any]]) -> list[str]:
    """The words that must be given behind the command's own, as its help names them."""
    made = command(kind)
    words = made.collect_usage_pieces(typer.Context(made, **HELP))
    return [word for word in words if word != "[OPTIONS]"]


def short(kind: type[Operation[Any]]) -> str:
    """What it does, in a line."""
    return _said(kind.facts.summary)


def _help(kind: type[Operation[Any]]) -> str:
    facts = kind.facts
    end = ROLES[facts.permission]
    if facts.changes and issubclass(kind, HostOperation):
        end += " The file is brought by this command." if brings(kind) else " It is a job, which is waited for."
    return f"{_said(facts.document)}\n\n{end} In the API: {facts.wire}."


def _said(text: str) -> str:
    """The contract's words, without those on an answer that says nothing."""
    return _NOTHING_SAID.sub("", text.replace("`", ""))


def brings(kind: type[Operation[Any]]) -> bool:
    """Whether a file is brought by it."""
    return kind.facts.result is Upload


def own(kind: type[Operation[Any]]) -> list[Param]:
    """The parameters that a person has to say something about, passwords excepted."""
    left_out = (*FRONT, *(OF_FILES if brings(kind) else ()))
    return [param for param in kind.facts.params if param.name not in left_out and not is_secret(param.type)]


def secrets(kind: type[Operation[Any]]) -> list[Param]:
    """The passwords among the parameters."""
    return [param for param in kind.facts.params if param.name not in FRONT and is_secret(param.type)]


# --- parameters


def _parameters(kind: type[Operation[Any]]) -> Iterator[inspect.Parameter]:
    params = own(kind)
    rest = [param for param in params if param.varargs or words.item(param.type)]
    for param in params:
        if param.required and not words.is_settings(param.type) and param not in rest:
            yield _parameter(param.name, str, _argument(kind, param))
    if brings(kind):
        file = typer.Argument(metavar="FILE", help="The file to bring.", exists=True, dir_okay=False)
        yield _parameter("file", Path, file)
    for param in rest:
        needed = inspect.Parameter.empty if param.required else None
        yield _parameter(
            param.name, list[str] if param.required else list[str] | None, _argument(kind, param), needed
        )
    for param in params:
        if words.is_settings(param.type):
            yield from _settings(param)
        elif not param.required and param not in rest:
            yield _option(kind, param)
    yield from _of_every_command(kind)


def _parameter(name: str, kind: Any, info: Any, value: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, info], default=value)


def metavar(kind: type[Operation[Any]], name: str) -> str:
    """The word that stands for a parameter in the help: `HOST`, `VM`, `CTID`, `DISKIMAGE_NAME`."""
    if name in (kind.facts.host_field, "server_hostname"):
        return "HOST"
    return METAVARS.get(name, name.removesuffix("_argument").upper())


def _argument(kind: type[Operation[Any]], param: Param) -> Any:
    many = words.item(param.type)
    shown = metavar(kind, param.name)
    return typer.Argument(
        metavar=f"{shown}..." if many or param.varargs else shown,
        help=words.in_words(param.type) + _choices(param.type),
        show_default=False,
        autocompletion=completion(kind, param),
    )


def shown(kind: type[Operation[Any]], name: str) -> str:
    """What somebody typed for a parameter: `HOST`, `--state`."""
    param = next((param for param in own(kind) if param.name == name), None)
    if param is None or param.required or param.varargs or words.item(param.type):
        return metavar(kind, name)
    return f"--{command_name(OPTIONS.get(name, name))}"


def _choices(kind: Any) -> str:
    """The legal texts where nothing else says them."""
    found = words.choices(kind)
    return "" if words.in_words(kind) or not found else f"One of {', '.join(filter(None, found))}."


def _option(kind: type[Operation[Any]], param: Param) -> inspect.Parameter:
    value = default(kind, param)
    help_text = words.in_words(param.type)
    if words.plain(param.type) is bool:
        return _parameter(param.name, bool, typer.Option(help=help_text), value)
    found = list(filter(None, words.choices(param.type)))
    info = typer.Option(
        *dict.fromkeys((shown(kind, param.name), f"--{command_name(param.name)}")),
        metavar="|".join(found) if found else metavar(kind, param.name),
        help=help_text + (f" [default: {value}]" if value not in ("", None) else ""),
        show_default=False,
        autocompletion=completion(kind, param),
    )
    return _parameter(param.name, str | None, info, None)


def _settings(param: Param) -> Iterator[inspect.Parameter]:
    one = typer.Option("--set", metavar="NAME=VALUE", help="A setting; may be repeated.", show_default=False)
    many = typer.Option(
        "--json", metavar="FILE", help="All settings as a JSON object in a file; - reads the standard input."
    )
    yield _parameter(f"set_{param.name}", list[str] | None, one, None)
    yield _parameter(f"json_{param.name}", str | None, many, None)


OUTPUT = typer.Option(
    "--output", "-o", metavar="table|json|yaml|csv|plain", help="How to show the answer.", show_default=False
)
PROFILE = typer.Option(
    "--profile", metavar="NAME", help="Which OMS, and as whom (OMS_PROFILE).", autocompletion=profiles
)


def _of_every_command(kind: type[Operation[Any]]) -> Iterator[inspect.Parameter]:
    facts = kind.facts
    if not facts.changes and "cache_timeout" in (param.name for param in facts.params):
        if issubclass(kind, HostOperation):
            cache = typer.Option(
                metavar="SECONDS", min=0, help="How old a recorded answer may be; 0 asks the host."
            )
            yield _parameter("cache", int, cache, 0)
        watch = typer.Option("--watch", help="Show it again and again, until Ctrl-C.")
        yield _parameter("watch", bool, watch, False)
    if facts.changes and issubclass(kind, HostOperation) and not brings(kind):
        wait = typer.Option("--wait/--no-wait", help="Whether to wait for the job, or only to print its id.")
        yield _parameter("wait", bool, wait, True)
    yield _parameter("output", str | None, OUTPUT, None)
    yield _parameter("profile", str | None, PROFILE, None)


def completion(kind: type[Operation[Any]], param: Param) -> Callable[..., list[Any]] | None:
    """What a shell offers for a parameter."""
    if found := list(filter(None, words.choices(param.type))):
        return lambda incomplete: [word for word in found if word.startswith(incomplete)]
    if "host" in param.name or param.name == kind.facts.host_field:
        return hosts
    if param.name in ("kvm_vm_name", "container_id", "ct_id", "vm_name", "guest"):
        return guests(kind)
    return None
