"""The certificates of a server that runs: its own are made anew long before they end, and one of the settings is
taken up when its file is another. Nobody has to restart anything for it."""

import asyncio
from collections.abc import Callable

import structlog

from oms.bus.nats.supervisor import revision_of
from oms.server import identity
from oms.server.ca.client import SignerClient, SignerError
from oms.server.config import ServerConfig
from oms.server.identity import Identity, Pair, Unusable

log = structlog.get_logger("oms.server")
LOOK_SECONDS = 60.0


async def keep(
    config: ServerConfig,
    signer: SignerClient,
    ident: Identity,
    show: Callable[[Pair], None],
    renew_bus: Callable[[], None],
) -> None:
    """Look at them for ever. `show`: what callers are shown; `renew_bus`: the bus's is another."""
    shown, on_bus, said = _revision(ident.web), _revision(ident.bus), ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            if identity.old(ident, config):
                await identity.prepare(config, signer)
            if (now := _revision(ident.web)) != shown:
                _same_ca(config, ident)
                show(ident.web)
                shown = now
                log.info("callers are shown another certificate from now on")
            if (now := _revision(ident.bus)) != on_bus:
                renew_bus()
                on_bus = now
                log.info("the bus has another certificate from now on")
            said = ""
        except (Unusable, SignerError, OSError) as why:  # an ssl.SSLError is an OSError
            if said != (said := str(why)):
                log.error("a certificate cannot be renewed; the one before stays", why=said)  # noqa: TRY400 - the text says it all


def _same_ca(config: ServerConfig, ident: Identity) -> None:
    """Raises Unusable for files of the settings that do not fit, and where hosts have to be told of another CA."""
    if (given := identity.given(config)) and given[1] != ident.web_ca:
        raise Unusable(
            f"{config.tls_ca} is another CA, which hosts do not know: restart OMS, and tell them of it."
        )


def _revision(pair: Pair) -> str:
    return revision_of(pair.certificate, pair.key)
