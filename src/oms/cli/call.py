"""`oms call`: any method of the API by its own name, its parameters as words in their order."""

import typer

from oms.cli import asking, words
from oms.cli.asking import How
from oms.contract.errors import CallError
from oms.contract.registry import BY_NAME, BY_WIRE


def methods(begin: str) -> list[tuple[str, str]]:
    """The methods whose names begin so, with what they do."""
    return [(name, kind.facts.summary) for name, kind in BY_WIRE.items() if name.startswith(begin)]


def run(method: str, given: list[str], *, cache_timeout: int, how: How) -> None:
    """Call it as whoever is logged in, and show what it answers. Service and method may be two words."""
    if method in BY_NAME and given:
        method, *given = f"{method}.{given[0]}", *given[1:]
    try:
        asked = words.understood(method, given, cache_timeout)
    except CallError as wrong:
        raise typer.BadParameter(wrong.message) from None
    asking.make(asked, "call", how)
