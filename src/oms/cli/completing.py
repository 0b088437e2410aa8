"""What a shell is offered besides commands and options: hosts and guests, as OMS knows them, within a moment.

Whatever goes wrong, nothing is offered and nothing is said: somebody is in the midst of typing.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import typer

from oms.contract import func, kvm, kvmplusovz, ovz
from oms.contract.errors import OmsError
from oms.contract.operation import Operation

PATIENCE_SECONDS = 3
OLDEST_SECONDS = 60
"""Of a recorded list, which will do here."""


def hosts(ctx: typer.Context, incomplete: str) -> list[str]:
    """The signed hosts."""

    async def ask(client: Any) -> Iterable[str]:
        return [host.name for host in await client.call(func.ListSigned(), cache_timeout=OLDEST_SECONDS)]

    return _offered(ctx, incomplete, ask)


def guests(kind: type[Operation[Any]]) -> Callable[[typer.Context, str], list[str]]:
    """The guests of the host that stands in front, those that the service of a method is about."""
    listing: Any = {"kvmservices": kvm.ListVmsStatus, "ovzservices": ovz.ListVmsStatus}.get(
        kind.facts.service.name, kvmplusovz.ListVmsStatus
    )

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        host = next(
            (
                ctx.params[name]
                for name in (kind.facts.host_field, "server_hostname", "host")
                if ctx.params.get(name)
            ),
            "",
        )

        async def ask(client: Any) -> Iterable[str]:
            found = await client.call(listing(), host=host, cache_timeout=OLDEST_SECONDS)
            return list(getattr(found, "result", found))

        return _offered(ctx, incomplete, ask) if host else []

    return complete


def profiles(incomplete: str) -> list[str]:
    """The names of the profiles."""
    from oms.cli import profiles as kept
    from oms.client import ClientError

    with contextlib.suppress(ClientError, OSError):
        return [name for name in kept.names() if name.startswith(incomplete)]
    return []


def _offered(ctx: typer.Context, incomplete: str, ask: Callable[[Any], Awaitable[Iterable[str]]]) -> list[str]:
    import asyncio

    from oms.cli import profiles as kept
    from oms.client import ClientError, NotOurs

    async def asked() -> Iterable[str]:
        profile = kept.logged_in(ctx.params.get("profile"))
        async with asyncio.timeout(PATIENCE_SECONDS), profile.client() as client:
            return await ask(client)

    try:
        return sorted(name for name in asyncio.run(asked()) if name.startswith(incomplete))
    except (OmsError, ClientError, NotOurs, OSError, ValueError):  # a time-out is an OSError
        return []
