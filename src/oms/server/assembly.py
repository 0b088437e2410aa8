"""The parts of a server put together over a bus: what `main` serves, and what tests run in one process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from oms.background import ended
from oms.bus import introduction, transfer
from oms.bus.call import Caller
from oms.bus.wire import ServerWire
from oms.contract.errors import OmsError
from oms.server import identity, whereabouts
from oms.server.audit import Audit
from oms.server.ca.client import SignerClient
from oms.server.ca.protocol import Trust
from oms.server.colleagues import Notices, Place
from oms.server.config import ServerConfig
from oms.server.consoles.consoles import Consoles, Ports
from oms.server.consoles.far_ends import FarEnds
from oms.server.desk import House
from oms.server.edge import assets
from oms.server.edge.assets import Assets
from oms.server.edge.consoles import PATH as CONSOLES
from oms.server.edge.consoles import ConsoleDoor
from oms.server.edge.detour import Detours
from oms.server.edge.elsewhere import Elsewhere
from oms.server.edge.events import PATH as EVENTS
from oms.server.edge.events import EventDoor
from oms.server.edge.gui import PATH as GUI
from oms.server.edge.gui import GuiDoor
from oms.server.edge.http import Edge, Page, Stream
from oms.server.edge.pages import health, pages
from oms.server.edge.passages import PassageDoor
from oms.server.edge.transfers import Door
from oms.server.enrol import Enrolment, Signer
from oms.server.events.news import News
from oms.server.fleet import Fleet
from oms.server.inventory import Inventory
from oms.server.jobs import Jobs
from oms.server.ledger import Ledger
from oms.server.matchmaker import Matchmaker
from oms.server.metrics import page
from oms.server.metrics.figures import HostFigures
from oms.server.metrics.own import Own
from oms.server.metrics.page import MetricsPage
from oms.server.outside.sources import outside
from oms.server.pipeline import Pipeline
from oms.server.reads import Reads
from oms.server.rules.guessing import Guesses
from oms.server.services import table
from oms.server.sessions import Sessions
from oms.server.store import Store, events, guests, jobs, now, sessions, tokens
from oms.server.transfers import Transfers
from oms.settings import address

log = structlog.get_logger("oms.server")
DAY_SECONDS = 86_400
JOBS_KEPT_SECONDS = 90 * DAY_SECONDS
MISSING_KEPT_SECONDS = 7 * DAY_SECONDS
"""A guest that its host does not list may come back: from a disk that was not mounted, or under another host."""
TIDY_EVERY_SECONDS = 600


@contextlib.asynccontextmanager
async def assembled(
    config: ServerConfig,
    store: Store,
    wire: ServerWire,
    *,
    signer: SignerClient,
    trust: Trust,
    ca: tuple[str, str],
    ports: Ports,
) -> AsyncIterator[Edge]:
    """A server over a migrated store and a wire. `ca`: the PEM that agents pin, and its SHA-256; `ports`: who
    listens for consoles."""
    pem, ca_sha256 = ca
    server, epoch = await identity.named(config, store)
    caller = Caller(wire, server, epoch)
    reads = Reads()
    notices = Notices(wire, reads, others=store.is_shared)
    news = await _news(config, store, reads, notices)
    own = Own()
    figures = HostFigures(wire, own.events)
    work = await _jobs(store, caller, notices, own, news)
    place = Place(store, server, epoch, work, news.gathering)
    inventory = Inventory(store, caller)
    news.follow(inventory, figures)
    await inventory.begin()
    fleet = Fleet(store, caller, reads, work, inventory, buses=config.buses)
    consoles = _consoles(config, store, caller, fleet, ports=ports, news=news, server=server)
    house = House(
        store=store,
        sessions=Sessions(store, config.lifetime),
        guesses=Guesses(config.guessing),
        signer=signer,
        caller=caller,
        fleet=fleet,
        inventory=inventory,
        figures=figures,
        jobs=work,
        consoles=consoles,
        events=news,
        outside=outside(config),
        ca_sha256=ca_sha256,
        certificate_days=config.certificate_days,
    )
    audit = Audit(_audit_path(config))
    ledger = await Ledger.begun(store, server)
    pipeline = Pipeline(house, table(), reads, log=audit, ledger=ledger, own=own)
    works = (work.watch(), place.keep(), _tidy(house, ledger, config), consoles.watch(), news.run())
    tasks = [asyncio.create_task(one) for one in works]
    try:
        addresses = _pages(config, house, own, trust, pem)
        yield _edge(config, house, pipeline, audit, addresses=addresses, pem=pem)
    finally:
        news.log.close()
        await consoles.close()
        await ended(*tasks)
        house.outside.close()
        await house.sessions.close()
        await house.fleet.close()
        await inventory.close()
        await work.close()
        await place.leave()
        audit.close()


def _pages(config: ServerConfig, house: House, own: Own, trust: Trust, pem: str) -> dict[str, Page]:
    store, wire = house.store, house.caller.wire
    return {
        **pages(_enrolment(config, store, house.signer, trust), pem),
        page.PATH: MetricsPage(store, wire, own, house.figures),
        "/healthz": health(store, wire),
    }


def _edge(
    config: ServerConfig, house: House, pipeline: Pipeline, audit: Audit, *, addresses: dict[str, Page], pem: str
) -> Edge:
    door = _console_door(config, house, audit, pem)
    streams = _streams(config, house, audit, door, pem)
    names = frozenset(whereabouts.names(config, whereabouts.last(config)))
    ending, leave = house.events.log.close, house.jobs.leave
    return Edge(pipeline, addresses, names, config.qooxdoo, streams, sockets=door, ending=ending, leave=leave)


async def _news(config: ServerConfig, store: Store, reads: Reads, notices: Notices) -> News:
    listeners, wait = config.event_listeners, config.events_wait
    return await News.begun(store, reads.changed, listeners=listeners, wait=wait, bell=notices)


async def _jobs(store: Store, caller: Caller, notices: Notices, own: Own, news: News) -> Jobs:
    work = Jobs(store, caller, notices.changed, own.job_ended, news.gathering.progressed)
    await work.begin()
    notices.use(work.ended_elsewhere, work.missed)
    return work


def _streams(config: ServerConfig, house: House, audit: Audit, door: ConsoleDoor, ca: str) -> dict[str, Stream]:
    transfers = Transfers(house)
    detours = Detours(house.caller.wire, transfers.meetings, config.here, ca)
    return {
        transfer.PATH: Door(transfers, audit, detours),
        introduction.PATH: PassageDoor(Matchmaker(house), transfers),
        f"{CONSOLES}/": door,
        EVENTS: EventDoor(house.events, house.sessions, audit),
        GUI: GuiDoor(Assets(assets.GUI)),
    }


def _consoles(
    config: ServerConfig, store: Store, caller: Caller, fleet: Fleet, *, ports: Ports, news: News, server: str
) -> Consoles:
    return Consoles(
        store,
        fleet,
        FarEnds(store, caller),
        config.lifetime,
        ports=ports,
        pools=config.console_ports,
        shelf=config.shelf,
        record=config.record_consoles,
        server=server,
        tell=news.console,
    )


def _console_door(config: ServerConfig, house: House, audit: Audit, ca: str) -> ConsoleDoor:
    main, pages_port = address(config.listen)[1], config.consoles[1]
    elsewhere, built = Elsewhere(house.store, house.caller.server, ca), Assets(assets.CONSOLES)
    return ConsoleDoor(house.consoles, house.sessions, audit, built, elsewhere, main=main, pages=pages_port)


def _enrolment(config: ServerConfig, store: Store, signer: SignerClient, trust: Trust) -> Enrolment:
    return Enrolment(
        store,
        Signer(store, signer, config.certificate_days),
        trust,
        address(config.bus_listen)[1],
        new_a_minute=config.new_hosts_a_minute,
        buses=config.buses,
    )


def _audit_path(config: ServerConfig) -> Path:
    config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return config.home / "audit.log"


async def _tidy(house: House, ledger: Ledger, config: ServerConfig) -> None:
    """Runs for ever: throws away what nobody can use or asks for any more."""
    store = house.store
    while True:
        try:
            await store.write(
                lambda tx: (
                    sessions.end_expired(tx, config.session_idle, config.session_absolute),
                    tokens.end_expired(tx),
                    jobs.forget(tx, now() - JOBS_KEPT_SECONDS),
                    guests.forget_missing(tx, now() - MISSING_KEPT_SECONDS),
                    events.trim(tx, now() - config.events_days * DAY_SECONDS, config.events_kept),
                )
            )
            await ledger.prune(config.audit_days, config.audit_rows)
            await store.scrub()
            await asyncio.to_thread(house.consoles.shelf.tidy)
        except OmsError as failure:
            log.warning("not tidied", failure=failure.message)
        except OSError as failure:
            log.warning("recordings not tidied", failure=failure.strerror)
        await asyncio.sleep(TIDY_EVERY_SECONDS)
