"""`oms call`: any method of the API by its own name, its parameters as words in their order."""

import typer

from oms.cli import asking, suggesting, words
from oms.cli.asking import How
from oms.contract.errors import CallError, MethodNotFound, ServiceNotFound
from oms.contract.registry import BY_NAME, BY_WIRE

EXAMPLE = "kvmservices.list_vms"


def methods(begin: str) -> list[tuple[str, str]]:
    """The methods whose names begin so, with what they do."""
    return [(name, kind.facts.summary) for name, kind in BY_WIRE.items() if name.startswith(begin)]


def run(method: str, given: list[str], *, cache_timeout: int, how: How) -> None:
    """Call it as whoever is logged in, and show what it answers. Service and method may be two words."""
    if method in BY_NAME and given:
        method, *given = f"{method}.{given[0]}", *given[1:]
    if "." not in method:
        raise typer.BadParameter(f"The service is missing: legal is SERVICE.METHOD, as in {EXAMPLE}.")
    try:
        asked = words.understood(method, given, cache_timeout)
    except CallError as wrong:
        raise typer.BadParameter(_with_near(wrong, method)) from None
    asking.make(asked, "call", how)


def _with_near(wrong: CallError, method: str) -> str:
    """Where a name is near to one that there is, that instead of all that there are."""
    if isinstance(wrong, MethodNotFound | ServiceNotFound) and (near := suggesting.nearest([method], BY_WIRE)):
        return suggesting.with_near(wrong.message.partition(";")[0], near)
    return wrong.message
