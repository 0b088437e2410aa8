"""One command's call: made as whoever is logged in, waited for, and its answer shown."""

import asyncio
import secrets
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import typer

from oms.cli import commands, output, profiles, suggesting, waiting, words
from oms.cli.failures import Code, said
from oms.cli.output import FORMS, Form
from oms.cli.profiles import Profile
from oms.cli.session import password
from oms.cli.waiting import Watched
from oms.client import Client, OutOfReach
from oms.client.uploads import measured
from oms.contract.decode import Decoded
from oms.contract.errors import CallError, NoSuchTask, OmsError
from oms.contract.incoming import Received
from oms.contract.operation import HostOperation, Operation
from oms.contract.partly import Partly
from oms.contract.task import Task

NOTHING_TO_SAY = (0, (0, "", ""), "0")
"""Answers that only say that all went well."""


class How(msgspec.Struct, frozen=True):
    """How a call is made and shown."""

    form: Form = "table"
    profile: str | None = None
    wait: bool = True
    watch: bool = False
    file: Path | None = None


def run(kind: type[Operation[Any]], path: str, given: Mapping[str, Any]) -> None:
    """Make the call that a command's parameters mean. `path`: the command's words, for what it has to say."""
    how = How(
        form(given["output"]),
        given["profile"],
        given.get("wait", True),
        given.get("watch", False),
        given.get("file"),
    )
    with said(path):
        values = _values(kind, given)
        secret = {param.name for param in commands.secrets(kind)}
        _meant(kind, {**values, **dict.fromkeys(secret, "")}, given)  # before somebody types a password in vain
        asked = _meant(kind, {**values, **_secrets(kind)}, given)
    make(asked, path, how)


def _meant(kind: type[Operation[Any]], values: Mapping[str, Any], given: Mapping[str, Any]) -> Decoded:
    """Raises BadParameter."""
    try:
        return words.by_name(kind, values, given.get("cache", 0))
    except CallError as wrong:
        raise _wrong(kind, wrong) from None


def _wrong(kind: type[Operation[Any]], wrong: CallError) -> typer.BadParameter:
    """What is wrong with a word, by the name that it has in the command's help."""
    name = str(wrong.data.get("parameter", ""))
    before, _, why = wrong.message.partition(" is not legal: ")
    if before != f"Parameter {name} of {kind.facts.wire}":
        return typer.BadParameter(wrong.message)
    param = next(param for param in kind.facts.params if param.name == name)
    if found := list(filter(None, words.choices(param.type))):
        why = f"{why.partition('; ')[0]}; legal are {', '.join(found)}."
    return typer.BadParameter(why, param_hint=commands.shown(kind, name))


def form(said: str | None) -> Form:
    """The form of that name. Raises BadParameter."""
    for known in FORMS:
        if said in (known, None):
            return known
    raise typer.BadParameter(f"{said} is no form: legal are {', '.join(FORMS)}.")


def make(asked: Decoded, path: str, how: How) -> None:
    """Make a call and show what it answers."""
    job = secrets.token_hex(16)
    with said(path), waiting.watched(job) as watched:
        profile = profiles.logged_in(how.profile)
        if how.watch:
            from oms.cli import watching

            watching.run(asked, profile, f"{path} {asked.host}", how.form)
            return
        try:
            answer, task = asyncio.run(_called(asked, profile, how, watched))
        except KeyboardInterrupt:
            watched.close()
            _interrupted(asked, profile, watched)
            raise
    with said(path):
        _show(asked, answer, task, how)


async def _called(asked: Decoded, profile: Profile, how: How, watched: Watched) -> tuple[Any, Task | None]:
    """The answer, and where the call is a job, the job."""
    async with profile.client() as client:
        op: Any = asked.op
        if not isinstance(asked.op, HostOperation):
            try:
                return await client.call(op, cache_timeout=asked.cache_timeout), None
            except OmsError as error:
                raise await suggesting.explained(client, error, asked) from None
        if not op.facts.changes:
            return await _read(client, asked), None
        if not how.wait:
            return await client.begin(op, host=asked.host), None
        return await _changed(client, asked, how, watched)


async def _read(client: Client, asked: Decoded) -> Any:
    op: Any = asked.op
    try:
        return await client.call(op, host=asked.host, cache_timeout=asked.cache_timeout)
    except OmsError as error:
        raise await suggesting.explained(client, error, asked) from None


async def _changed(client: Client, asked: Decoded, how: How, watched: Watched) -> tuple[Any, Task | None]:
    op: Any = asked.op
    job = watched.job
    try:
        if how.file is not None:
            await client.upload(op, how.file, host=asked.host, progress=watched.sent, job=job)
            return Received(op.size_bytes, op.sha256), None
        answer = await client.call(op, host=asked.host, progress=watched.tell, job=job)
    except OmsError as error:
        if "job" not in error.data and await _found(client, job):
            error.data["job"] = job
        raise await suggesting.explained(client, error, asked) from None
    return answer, await _found(client, watched.job)


async def _found(client: Client, job: str) -> Task | None:
    try:
        return await client.jobs.find(job)
    except (NoSuchTask, OutOfReach):
        return None


def _interrupted(asked: Decoded, profile: Profile, watched: Watched) -> None:
    """Ctrl-C while a change is under way: it goes on, unless somebody says that it shall not."""
    if not (isinstance(asked.op, HostOperation) and asked.op.facts.changes) or watched.over:
        return
    later = f"`oms tasks get-task {watched.job}` says how it stands."
    told = f"The job goes on: {later}"
    if sys.stdin.isatty() and typer.confirm("\nCancel the job? Otherwise it goes on", err=True):
        task = asyncio.run(_cancelled(profile, watched.job))
        told = f"The job is {task.state}." if task.finished else f"The job is told to end: {later}"
    print(told, file=sys.stderr)


async def _cancelled(profile: Profile, job: str) -> Task:
    async with profile.client() as client:
        return await client.jobs.cancel(job)


# --- before and after


def _values(kind: type[Operation[Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """The operation's parameters: what was given, and what is known of a file."""
    values = {name: value for name, value in given.items() if value is not None}
    for param in commands.own(kind):
        if words.is_settings(param.type):
            values[param.name] = settings(given[f"set_{param.name}"] or [], given[f"json_{param.name}"])
            if not values[param.name] and kind.facts.name.startswith("update"):
                raise typer.BadParameter("nothing is to be changed: give --set NAME=VALUE, or --json FILE.")
    if commands.brings(kind):
        values["size_bytes"], values["sha256"] = measured(given["file"])
    return values


def _secrets(kind: type[Operation[Any]]) -> dict[str, str]:
    """Passwords, which are asked for."""
    values = {}
    for param in commands.secrets(kind):
        asked = param.name.replace("_", " ").capitalize()
        values[param.name] = password(asked, twice=param.name.startswith("new"))
    return values


def settings(single: list[str], file: str | None) -> dict[str, Any]:
    """The settings of `--json`, and over them those of `--set`. Raises BadParameter."""
    made: dict[str, Any] = {}
    if file is not None:
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
            made = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError) as wrong:
            raise typer.BadParameter(f"{file} is no JSON object: {wrong}.") from None
    for word in single:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{word!r} sets nothing: legal is NAME=VALUE, as in memory=512.")
        try:
            made[name] = msgspec.json.decode(value) if value.startswith(("{", "[")) else value
        except msgspec.MsgspecError as wrong:
            raise typer.BadParameter(f"{word!r} sets what begins as JSON and is none: {wrong}.") from None
    return made


def _show(asked: Decoded, answer: Any, task: Task | None, how: How) -> None:
    for_people = how.form == "table"
    if for_people:
        _aside(answer, task)
    changes, plain = asked.op.facts.changes, msgspec.to_builtins(answer)
    if changes and plain and typing.get_origin(asked.op.facts.result) is dict and how.wait:  # refused settings
        if not for_people:
            output.show(answer, how.form)
        for name, why in plain.items():
            print(f"{output.cell(name)} is refused: {output.cell(why)}", file=sys.stderr)
        print("Nothing was changed.", file=sys.stderr)
        raise typer.Exit(Code.ERROR)
    if for_people and changes and plain in (*NOTHING_TO_SAY, {}):
        print("Done.")
    elif for_people and isinstance(answer, Partly):
        output.show(answer.result)
    else:
        output.show(answer, how.form)


def _aside(answer: Any, task: Task | None) -> None:
    """What people should know besides the answer."""
    for name, note in (task.notes if task else {}).items():
        print(f"{output.cell(name)}: {output.cell(note)}", file=sys.stderr)
    for missing in answer.missing if isinstance(answer, Partly) else ():
        print(f"Missing: {output.cell(missing.type)}: {output.cell(missing.message)}", file=sys.stderr)
