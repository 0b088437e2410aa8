"""Groups of commands, and commands, as all of `oms` has them: whole sentences, and what may have been meant."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

F = TypeVar("F", bound=Callable[..., Any])
HELP: dict[str, Any] = {"help_option_names": ["--help", "-h"]}
"""Of a context; a command keeps what the first one says."""
SHOWN = 9
"""Commands that are offered for a word that is none."""


class Command(TyperCommand):
    """A command whose usage has its words in capitals, without braces."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """As `VM` and `[WORDS]...`."""
        return [word.strip("{}") for word in super().collect_usage_pieces(ctx)]


class Group(TyperGroup):
    """A group that tells of each command in whole sentences, and of a word that is none which ones have it."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each with a whole sentence."""
        each: dict[str, Any] = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, command.short_help or sentence(command.help)) for name, command in each.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """No word for a command where there is none."""
        return [*super().collect_usage_pieces(ctx)][: None if self.list_commands(ctx) else 1]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As ever, and `list` is answered with the commands that begin so."""
        word, known = args[0], self.list_commands(ctx)
        if self.get_command(ctx, word) is None and not word.startswith("-") and (near := self.near(word, known)):
            ctx.fail(f"No such command {word!r}. Did you mean {', '.join(map(repr, near))}?")
        return super().resolve_command(ctx, args)

    def near(self, word: str, known: Iterable[str]) -> list[str]:
        """Commands that have the word: those that begin with it, else those in which it is."""
        parts = [[name for name in known if name.startswith(word)], [name for name in known if word in name]]
        return next((found[:SHOWN] for found in parts if found), [])


def room(summary: str, *, invoke_without_command: bool = False) -> typer.Typer:
    """Commands of a module of their own."""
    return Room(
        cls=Group,
        help=summary,
        invoke_without_command=invoke_without_command,
        no_args_is_help=not invoke_without_command,
        rich_markup_mode=None,
        add_completion=False,
    )


class Room(typer.Typer):
    """One whose commands are `Command`."""

    def command(self, name: str | None = None, **how: Any) -> Callable[[F], F]:
        """As Typer's own."""
        return super().command(name, **{"cls": Command, **how})


def sentence(text: str) -> str:
    """The first one."""
    return " ".join(text.replace("`", "").split()).partition(". ")[0].rstrip(".") + "."
