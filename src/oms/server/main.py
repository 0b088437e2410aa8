"""The composition root: from settings to a server with its bus, until it is told to end."""

import asyncio
import contextlib
import gc
import os
import pwd
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from oms import systemd
from oms.bus.nats.callout import Admission
from oms.bus.nats.client import Credentials
from oms.bus.nats.config import BusConfig, render
from oms.bus.nats.nkey import Issuer
from oms.bus.nats.server import NatsServerWire
from oms.bus.nats.supervisor import Supervisor, SupervisorError, revision_of
from oms.contract.errors import DatabaseConnectionError, OmsError
from oms.server import admin, certificates, identity
from oms.server.assembly import assembled
from oms.server.ca.client import SignerClient, SignerError
from oms.server.config import ServerConfig
from oms.server.edge import listener
from oms.server.edge.ports import MorePorts
from oms.server.identity import Identity
from oms.server.passwords import Unfit
from oms.server.store import Store, hosts, meta, move, users
from oms.settings import address, joined

log = structlog.get_logger("oms.server")


class CannotServe(Exception):
    """Why the server does not start, and what to do."""


async def serve(config: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotServe."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    with said():
        async with contextlib.AsyncExitStack() as parts:
            ident = await _start(config, parts)
            pulse = asyncio.create_task(systemd.pulse())
            parts.callback(pulse.cancel)
            systemd.ready(f"serves callers at {config.listen}; the fingerprint of its CA is {ident.ca_sha256}")
            await told.wait()
            systemd.ending()


@contextlib.contextmanager
def said() -> Iterator[None]:
    """Turn what the machine, the settings or another part is to blame for into words."""
    try:
        yield
    except OmsError as error:
        raise CannotServe(error.message) from error
    except SignerError as error:
        raise CannotServe(f"{error} As a service it is oms-signer; `oms up` starts both.") from error
    except (SupervisorError, identity.Unusable) as error:
        raise CannotServe(str(error)) from error
    except Unfit as error:
        raise CannotServe(f"OMS_ADMIN_PASSWORD will not do: {error}") from error
    except TimeoutError as error:
        raise CannotServe(
            "The bus does not answer: its log is bus/nats.log in the server's directory, or with the nats-servers "
            "of the settings."
        ) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise CannotServe(
            f"{where}{error.strerror or error}. See that this account may use it, or give another --data."
        ) from error


def ours(directory: Path) -> None:
    """Raises CannotServe where it is somebody else's: two accounts in one directory lock each other out."""
    owner = directory.stat().st_uid
    if owner == os.geteuid():
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"the user with uid {owner}"
    raise CannotServe(f"{directory} belongs to {name}: run as that user, or give another --data.")


async def _start(config: ServerConfig, parts: contextlib.AsyncExitStack) -> Identity:
    sock = bind(config.listen)
    parts.callback(sock.close)
    config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for directory in (config.data, config.home):
        ours(directory)
    store = Store(config.database_url)
    parts.callback(store.close)
    await asyncio.to_thread(_first_start, store)
    signer = SignerClient(config.signer, patience=15)
    ident = await identity.prepare(config, signer)
    wire, renew_bus = await _bus(config, store, ident, parts)
    ports = MorePorts(config.consoles[0])
    edge = await parts.enter_async_context(
        assembled(
            config, store, wire, signer=signer, trust=ident.trust, ca=(ident.web_ca, ident.ca_sha256), ports=ports
        )
    )
    web = await parts.enter_async_context(listener.listening(edge, ident.web, sock, edge.leave))
    ports.use(web)
    keeping = asyncio.create_task(certificates.keep(config, signer, ident, web.take, renew_bus))
    parts.callback(keeping.cancel)
    parts.callback(_pages(config, ports))
    parts.callback(edge.ending)
    # What is here now stays: the collector need not look at all of it again for every few calls.
    gc.collect()
    gc.freeze()
    bus = ",".join(config.buses) or config.bus_listen
    log.info("serving", address=config.listen, bus=bus, ca_sha256=ident.ca_sha256)
    return ident


def _first_start(store: Store) -> None:
    """Tables, and the first administrator if his password was given. None is invented here: it would stand in
    the log."""
    try:
        store.migrate()
    except DatabaseConnectionError as error:
        raise CannotServe(
            "OMS's database cannot be reached; the line above says why. Start it, or correct `database` in the "
            "settings."
        ) from error
    if place := store.transaction(lambda tx: meta.get(tx, move.MOVED)):
        raise CannotServe(f"What was in this database is in {place} now: serve from there.")
    if password := os.environ.get("OMS_ADMIN_PASSWORD"):
        admin.first_user(store, password)
    elif not store.transaction(users.anybody):
        log.warning("there is no user yet: make one with `oms admin add-user admin --role admin`")


def bind(listen: str) -> socket.socket:
    """The socket for callers. Raises CannotServe."""
    try:
        return listener.bound(*address(listen))
    except OSError as error:
        do = "End what listens there"
        if isinstance(error, PermissionError):
            do = "Ports below 1024 need CAP_NET_BIND_SERVICE, which the unit can give (docs/operating.md)"
        raise CannotServe(
            f"{listen} cannot be listened on: {error.strerror}. {do}, or give another --listen."
        ) from error


def _pages(config: ServerConfig, ports: MorePorts) -> Callable[[], None]:
    """The page server of screens. Raises CannotServe."""
    try:
        return ports.listen(config.consoles[1])
    except OSError as error:
        host, port = config.consoles
        raise CannotServe(
            f"{host}:{port} cannot be listened on: {error.strerror}. End what listens there, or set "
            "consoles_listen to another address."
        ) from error


async def _bus(
    config: ServerConfig, store: Store, ident: Identity, parts: contextlib.AsyncExitStack
) -> tuple[NatsServerWire, Callable[[], None]]:
    """Connect to the bus, after starting or adopting the nats-server where it is our own. Answers also what has
    that take up renewed certificates."""
    issuer = Issuer.from_seed(await store.write(meta.bus_issuer))
    home = config.home / "bus"
    if config.nats:
        await Supervisor("", home).retire()
        wire = await _connected(NatsServerWire(config.buses, **_as_oms(store, ident, issuer)), parts)
        return wire, lambda: None  # its nodes have certificates of their own
    home.mkdir(mode=0o700, exist_ok=True)

    def text() -> str:
        return render(
            BusConfig(
                listen=config.bus_listen,
                run_dir=home,
                cert_file=ident.bus.certificate,
                key_file=ident.bus.key,
                clients_ca_file=ident.clients_ca,
                issuer=issuer.public,
                revision=revision_of(ident.bus.certificate, ident.clients_ca),
            )
        )

    supervisor = Supervisor(text(), home, binary=config.nats_server)
    await supervisor.start()
    parts.push_async_callback(supervisor.stop, keep=config.keep_bus)
    host, port = address(config.bus_listen)
    reach = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    wire = NatsServerWire((joined(reach, port),), on_hung=supervisor.replace, **_as_oms(store, ident, issuer))
    return await _connected(wire, parts), lambda: supervisor.reload(text())


def _as_oms(store: Store, ident: Identity, issuer: Issuer) -> dict[str, Any]:
    """As whom OMS is on the bus, and whom it lets in there."""
    ca = ident.server_ca
    return {
        "sys": Credentials(ca_file=ca, cert_file=ident.as_sys.certificate, key_file=ident.as_sys.key),
        "bus": Credentials(ca_file=ca, cert_file=ident.as_bus.certificate, key_file=ident.as_bus.key),
        "issuer": issuer,
        "lookup": lambda sha256: _admission(store, sha256),
        "is_signed": lambda host_id: _is_signed(store, host_id),
    }


async def _connected(wire: NatsServerWire, parts: contextlib.AsyncExitStack) -> NatsServerWire:
    wire.start()
    parts.push_async_callback(wire.close)
    async with asyncio.timeout(30):
        await wire.wait_ready()
    return wire


async def _admission(store: Store, certificate_sha256: str) -> Admission | None:
    host = await store.read(lambda tx: hosts.by_certificate(tx, certificate_sha256))
    return Admission(host.id, datetime.fromtimestamp(host.not_after, UTC)) if host else None


async def _is_signed(store: Store, host_id: str) -> bool:
    return await store.read(lambda tx: hosts.by_id(tx, host_id)) is not None
