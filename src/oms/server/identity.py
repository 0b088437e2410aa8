"""OMS's own certificates and keys: HTTPS, the bus's server, OMS's two connections to it. Made by the signer when
they are missing, when a third of their life is left, or when this server's names have changed."""

import asyncio
import contextlib
import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from sqlalchemy import Connection

from oms import __version__, durable
from oms.bus import enrolment
from oms.contract.event.fleet import ServerStart, ServerStarted
from oms.server import whereabouts
from oms.server.ca.client import SignerClient
from oms.server.ca.protocol import Issued, Trust
from oms.server.config import ServerConfig
from oms.server.store import Store, events, servers

HAS_EXPIRED = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""
Issue = Callable[[bytes], Awaitable[Issued]]


class Unusable(Exception):
    """A certificate of the settings that cannot be used; the text says which, and why."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Identity:
    """All of them; the CA files are what each side checks the other by."""

    web: Pair
    web_ca: str
    bus: Pair
    as_sys: Pair
    as_bus: Pair
    clients_ca: Path
    server_ca: Path
    trust: Trust

    @property
    def ca_sha256(self) -> str:
        """The fingerprint of the CA by which agents know this server, in hexadecimal."""
        certificate = x509.load_pem_x509_certificate(self.web_ca.encode())
        return enrolment.fingerprint(certificate)


async def prepare(config: ServerConfig, signer: SignerClient) -> Identity:
    """Make what is missing. Raises Unusable, SignerError, and OSError where a file cannot be read or written."""
    own = given(config)
    trust = await signer.ca()
    home = config.home / "tls"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    clients_ca, server_ca = home / "clients-ca.crt", home / "server-ca.crt"
    durable.write_whole(clients_ca, (trust.server_ca + trust.host_ca).encode())
    durable.write_whole(server_ca, trust.server_ca.encode())
    web_ca = own[1] if own else trust.server_ca
    durable.write_whole(home / "pinned-ca.crt", web_ca.encode())
    dns, addresses = await asyncio.to_thread(names, config)

    async def issue(key: bytes) -> Issued:
        return await signer.issue_server(key, dns, addresses)

    bus = await _pair(home, "bus", dns, addresses, issue)
    web = own[0] if own else await _pair(home, "web", dns, addresses, issue)
    return Identity(
        web=web,
        web_ca=web_ca,
        bus=bus,
        as_sys=await _pair(home, "sys", (), (), lambda key: signer.issue_identity(key, "sys")),
        as_bus=await _pair(home, "oms", (), (), lambda key: signer.issue_identity(key, "bus")),
        clients_ca=clients_ca,
        server_ca=server_ca,
        trust=trust,
    )


async def named(config: ServerConfig, store: Store) -> tuple[str, int]:
    """This server's id among those over one database, kept in its own directory, and the number of this start."""
    file = config.home / "server-id"
    known = file.read_text().strip() if file.exists() else ""
    name = f"{socket.gethostname()} {config.listen}"

    def begin(tx: Connection) -> tuple[str, int]:
        events.tell(tx, ServerStarted, ServerStart(__version__))
        return servers.begin(tx, known, name, config.here)

    server, epoch = await store.write(begin)
    if server != known:
        durable.write_whole(file, server.encode())
    return server, epoch


def given(config: ServerConfig) -> tuple[Pair, str] | None:
    """The certificate of the settings and its CA (PEM), None where OMS's own are to serve. Raises Unusable."""
    if not (config.tls_certificate and config.tls_key and config.tls_ca):
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_certificate, config.tls_key, "")
    except OSError as error:
        files = f"{config.tls_certificate} and {config.tls_key}"
        raise Unusable(f"{files} are no certificate with its key (PEM): {error.strerror or error}.") from error
    try:
        ca = config.tls_ca.read_text()
        enrolment.read_certificate(ca)
    except (OSError, ValueError) as error:
        raise Unusable(f"{config.tls_ca} is no CA certificate (PEM).") from error
    pair = Pair(config.tls_certificate, config.tls_key)
    if why := _not_verified(pair, ca):
        raise Unusable(
            f"{pair.certificate} is not verified by {config.tls_ca}, which hosts are to know OMS by: {why}. It is "
            "the CA at the end; those between stand behind the certificate, in its file."
        )
    return pair, ca


def _not_verified(pair: Pair, ca: str) -> str:
    """Why somebody who knows this CA alone does not believe that certificate; nothing where he does. One that has
    ended is shown: to say so is up to whoever looks at it."""
    server, caller = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cadata=ca)
    server.load_cert_chain(pair.certificate, pair.key)
    caller.check_hostname = False  # by which of its names OMS is called is not known here
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = caller.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    try:
        for side in (*sides, *sides):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return "" if error.verify_code == HAS_EXPIRED else error.verify_message
    return ""


def old(ident: Identity, config: ServerConfig) -> bool:
    """Whether a certificate that OMS made for itself is to be made anew."""
    own = (ident.bus, ident.as_sys, ident.as_bus, *(() if config.tls_certificate else (ident.web,)))
    return not all(map(_fresh, own))


def names(config: ServerConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The host names and the addresses in this server's certificates. Blocks for as long as the resolver does."""
    told = whereabouts.ask(config)
    named = (*whereabouts.names(config, told), *sorted(whereabouts.listened(config)), *told.addresses)
    dns, addresses = parted(named)
    return dns, tuple(dict.fromkeys(("127.0.0.1", "::1", *addresses)))


def parted(mixed: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Host names and addresses, each once; what is neither is left out."""
    dns, addresses = [], []
    for name in mixed:
        try:
            given = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            if _is_dns(name):
                dns.append(name)
        else:
            if not given.is_unspecified:
                addresses.append(str(given))
    return tuple(dict.fromkeys(dns)), tuple(dict.fromkeys(addresses))


def _is_dns(name: str) -> bool:
    try:
        return bool(enrolment.dns_name(name))
    except enrolment.Refusal:
        return False


async def _pair(home: Path, name: str, dns: tuple[str, ...], addresses: tuple[str, ...], issue: Issue) -> Pair:
    pair = Pair(home / f"{name}.crt", home / f"{name}.key")
    wanted = hashlib.sha256("\n".join((*dns, "", *addresses)).encode()).hexdigest()
    marker = home / f"{name}.names"
    if not (_fresh(pair) and marker.exists() and marker.read_text() == wanted):
        key = enrolment.make_key()
        issued = await issue(enrolment.public_key(key))
        durable.write_whole(pair.key, key)
        durable.write_whole(pair.certificate, issued.certificate.encode())
        durable.write_whole(marker, wanted.encode())
    return pair


def _fresh(pair: Pair) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    except (OSError, ValueError):
        return False
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return pair.key.exists() and datetime.now(UTC) < certificate.not_valid_before_utc + life * 2 / 3
