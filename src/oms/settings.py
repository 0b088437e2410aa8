"""How a process is told what to do: flags before environment before TOML before defaults, into one frozen struct.

A name that is unknown is an error that names the nearest known one; so is a value that does not fit.
"""

import difflib
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
HIGHEST_PORT = 65535
TABLES = ("server", "agent")
"""Of a TOML file: one file may serve every process of a machine."""


class SettingsError(Exception):
    """What is wrong with which setting, and where it was set."""


def load(
    kind: type[T],
    *,
    flags: Mapping[str, Any],
    file: Path | None = None,
    section: str = "",
    environment: Mapping[str, str] | None = None,
    prefixes: tuple[str, ...] = ("OMS_",),
    defaults: Mapping[str, Any] | None = None,
) -> T:
    """The settings of a process. A flag that is None was not given. Raises SettingsError.

    `section`: the table of the TOML file that is read; other tables belong to other processes. `prefixes`: of
    environment variables, the more special last. `defaults`: those of one command, before the struct's own.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = dict(defaults or {})
    for where, found in (
        (str(file), _from_file(file, section)),
        ("the environment", _from_environment(kind, environment, prefixes)),
        ("the command line", {name: value for name, value in flags.items() if value is not None}),
    ):
        for name, value in found.items():
            values[name] = _convert(kind, name, value, where)
    return kind(**values)


def address(text: str) -> tuple[str, int]:
    """`host:port` in its parts. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > HIGHEST_PORT:
        raise ValueError(f"{text!r} is not an address: legal is host:port, as in 127.0.0.1:8000.")
    return host.strip("[]"), int(port)


def joined(host: str, port: int) -> str:
    """An address of its parts."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _from_file(file: Path | None, section: str) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from error
    for name, table in content.items():
        if not isinstance(table, dict):
            tables = _or(f"[{known}]" for known in TABLES)
            raise SettingsError(f"{name} stands in no table (in {file}): put it below {tables}.")
        if name not in TABLES:
            raise SettingsError(f"There is no table [{name}] (in {file}){_nearest(name, TABLES)}")
    found: dict[str, Any] = content.get(section, {})
    return found


def _from_environment(
    kind: type[msgspec.Struct], environment: Mapping[str, str], prefixes: tuple[str, ...]
) -> dict[str, str]:
    found = {}
    for prefix in prefixes:
        for name in kind.__struct_fields__:
            if (value := environment.get(f"{prefix}{name.upper()}")) is not None:
                found[name] = value
    return found


def _convert(kind: type[msgspec.Struct], name: str, value: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    if name not in hints:
        raise SettingsError(f"There is no setting {name} (in {where}){_nearest(name, hints)}")
    if isinstance(value, str) and _is_list(hints[name]):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, hints[name], strict=False, dec_hook=_path)
    except msgspec.ValidationError:
        raise SettingsError(f"{name} (in {where}) is {value!r}: legal is {_legal(hints[name])}.") from None


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f": did you mean {near[0]}?" if near else f"; there are: {', '.join(sorted(known))}."


def _is_list(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple


def _path(kind: type[Any], value: Any) -> Any:
    if kind in (Path, type(Path())) and isinstance(value, (str, Path)):
        return Path(value)
    raise msgspec.ValidationError


def _legal(hint: Any) -> str:
    """What a setting of a type may be, for a person."""
    parts = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Annotated:
            return " ".join((_legal(parts[0]), *_bounds(parts[1:])))
        case typing.Literal:
            return _or(parts)
        case types.UnionType:
            return _or(_legal(part) for part in parts if part is not types.NoneType)
        case _ if _is_list(hint):
            return "a list of texts, or one text with commas"
    words = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
    return words.get(hint, "a text")


def _bounds(notes: Iterable[Any]) -> Iterator[str]:
    for note in notes:
        for words, bound in (("above", note.gt), ("from", note.ge), ("to", note.le)):
            if bound is not None:
                yield f"{words} {bound}"


def _or(words: Iterable[str]) -> str:
    return " or ".join(words)
