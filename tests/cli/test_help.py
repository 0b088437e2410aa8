"""Every command says what it is for. A new one gets its golden file by `make golden`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from oms.cli.commands import HERE, OfService
from oms.cli.main import app
from tests import golden_file

GOLDEN = Path(__file__).parent / "golden"


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command, groups included; those that are made of the contract are not."""
    if isinstance(group, OfService):
        for name in set(group.list_commands(None)) & {word for _, word in HERE}:
            yield (*words, name)
        return
    yield words
    if not hasattr(group, "list_commands"):
        return
    context = group.context_class(group, info_name="oms")
    for name in group.list_commands(context):
        yield from commands(group.get_command(context, name), (*words, name))


COMMANDS = sorted(commands(typer.main.get_command(app)))


def named(words: tuple[str, ...]) -> str:
    return "-".join(("oms", *words))


@pytest.mark.parametrize("words", COMMANDS, ids=named)
def test_the_help_of_each_command_is_the_golden_one(words: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100"})
    assert ran.exit_code == 0
    # `oms` itself has a group for each service of the contract, which is no matter of this command line.
    shown = ran.output if words else ran.output.partition("What OMS does")[0]
    golden_file.check(GOLDEN / f"{named(words)}.txt", shown)


def test_each_golden_file_is_of_a_command_that_there_is() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(map(named, COMMANDS))
