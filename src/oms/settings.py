"""How a process is told what to do: flags before environment before TOML before defaults, into one frozen struct.

A name that is unknown is an error that names the nearest known one; so is a value that does not fit.
"""

import difflib
import os
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


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
) -> T:
    """The settings of a process. A flag that is None was not given. Raises SettingsError.

    `section`: the table of the TOML file that is read; other tables belong to other processes. `prefixes`: of
    environment variables, the more special last.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for where, found in (
        (str(file), _from_file(file, section)),
        ("the environment", _from_environment(kind, environment, prefixes)),
        ("the command line", {name: value for name, value in flags.items() if value is not None}),
    ):
        for name, value in found.items():
            values[name] = _convert(kind, name, value, where)
    return kind(**values)


def _from_file(file: Path | None, section: str) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        tables = tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from error
    table = tables.get(section, {})
    if not isinstance(table, dict):
        raise SettingsError(f"{file}: [{section}] is a table.")
    return table


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
        near = difflib.get_close_matches(name, hints, 1, 0.5)
        hint = f": did you mean {near[0]}?" if near else f"; there are: {', '.join(sorted(hints))}."
        raise SettingsError(f"There is no setting {name} (in {where}){hint}")
    if isinstance(value, str) and _is_list(hints[name]):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, hints[name], strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name} in {where} is {value!r}: {error}.") from error


def _is_list(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple


def _path(kind: type[Any], value: Any) -> Any:
    if kind in (Path, type(Path())) and isinstance(value, (str, Path)):
        return Path(value)
    raise NotImplementedError
