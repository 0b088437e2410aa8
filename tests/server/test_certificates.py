"""The certificate that callers are shown while OMS runs: made anew in time, or taken up from another file."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from structlog.testing import capture_logs

from oms.bus import enrolment
from oms.server import certificates, identity
from oms.server.ca import authority
from oms.server.ca.authority import Authority
from oms.server.ca.client import SignerClient
from oms.server.ca.keystore import KeyStore
from oms.server.config import ServerConfig
from oms.server.edge.listener import bound, listening
from oms.server.identity import Unusable
from tests.server.rig import Oms, Seed


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.02)


class Own:
    """A certificate of somebody's own, and the settings that name it."""

    def __init__(self, oms: Oms, folder: Path) -> None:
        self.ca, self.folder = authority.create("server", datetime.now(UTC) - timedelta(days=600)), folder
        (folder / "ca.pem").write_text(authority.pem(self.ca.certificate))
        self.write(self.ca)
        names = {"tls_certificate": "web.pem", "tls_key": "web.key", "tls_ca": "ca.pem"}
        self.config = msgspec.structs.replace(
            oms.config, **{setting: folder / file for setting, file in names.items()}
        )

    def write(self, ca: Authority, key: bytes = b"", begin: datetime | None = None) -> str:
        """Make another one; its fingerprint. `key`: one that is not its own."""
        own = enrolment.make_key()
        here = [enrolment.ip_address("127.0.0.1")]
        made = authority.issue_server(
            ca, enrolment.public_key(own), ["localhost"], here, begin or datetime.now(UTC)
        )
        (self.folder / "web.key").write_bytes(key or own)
        (self.folder / "web.pem").write_text(authority.pem(made))
        return enrolment.fingerprint(made)


@pytest.fixture
def own(oms: Oms, tmp_path: Path) -> Own:
    return Own(oms, tmp_path)


@contextlib.asynccontextmanager
async def kept(oms: Oms, config: ServerConfig, renew_bus: Callable[[], None] = lambda: None) -> AsyncIterator[Any]:
    """An OMS that looks after its certificates; what says whose certificate its port shows."""
    signer, sock = SignerClient(config.signer), bound("127.0.0.1", 0)
    ident = await identity.prepare(config, signer)
    port = sock.getsockname()[1]

    def shown() -> str:
        pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=30)
        return enrolment.fingerprint(x509.load_pem_x509_certificate(pem.encode()))

    async with listening(oms.edge, ident.web, sock) as web:
        keeping = asyncio.create_task(certificates.keep(config, signer, ident, web.take, renew_bus))
        try:
            yield lambda: asyncio.to_thread(shown)
        finally:
            keeping.cancel()


async def until(shown: Any, wanted: Callable[[str], bool]) -> None:
    async with asyncio.timeout(60):
        while not wanted(await shown()):  # noqa: ASYNC110 - it is shown when it is shown
            await asyncio.sleep(0.02)


async def test_a_certificate_of_the_settings_is_taken_up_when_its_file_is_another(oms: Oms, own: Own) -> None:
    async with kept(oms, own.config) as shown:
        first = await shown()
        second = own.write(own.ca)
        assert second != first
        await until(shown, lambda now: now == second)


async def test_what_is_no_good_is_not_taken_up_and_told_once(oms: Oms, own: Own) -> None:
    async with kept(oms, own.config) as shown:
        first = await shown()
        for ca, key in ((own.ca, enrolment.make_key()), (authority.create("server", datetime.now(UTC)), b"")):
            with capture_logs() as logs:
                own.write(ca, key)
                await until(shown, lambda _: any("the one before stays" in line["event"] for line in logs))
            assert await shown() == first
        last = own.write(own.ca)
        await until(shown, lambda now: now == last)


async def test_one_that_hosts_would_not_know_is_refused_at_the_start(oms: Oms, own: Own) -> None:
    own.write(authority.create("server", datetime.now(UTC)))
    with pytest.raises(Unusable, match=r"web.pem is not verified by .*ca.pem, which hosts"):
        identity.given(own.config)
    own.write(own.ca, begin=datetime.now(UTC) - timedelta(days=500))  # it has ended: whoever looks is told
    assert identity.given(own.config) is not None


def test_who_listens_everywhere_is_reached_by_address_too(oms: Oms) -> None:
    here = msgspec.structs.replace(oms.config, listen="127.0.0.1:8000", bus_listen="127.0.0.1:4222")
    everywhere = msgspec.structs.replace(here, listen="0.0.0.0:8000")
    more = set(identity.names(everywhere)[1]) - set(identity.names(here)[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:  # a machine without a network
            assert more == set()
        else:
            assert more == {probe.getsockname()[0]}


def aged(ca: Authority, file: Path) -> str:
    """The certificate in that file as if it had been made three hundred days ago."""
    old, begin = x509.load_pem_x509_certificate(file.read_bytes()), datetime.now(UTC) - timedelta(days=300)
    end = begin + timedelta(days=397)
    return authority.pem(
        x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), 7, begin, end).sign(
            ca.key, hashes.SHA256()
        )
    )


async def test_oms_makes_its_own_anew_long_before_it_ends(oms: Oms, seed: Seed) -> None:
    renewed: list[int] = []
    async with kept(oms, oms.config, lambda: renewed.append(1)) as shown:
        first = await shown()
        with KeyStore(seed.folder / "signer") as keys:
            ca = keys.authorities(datetime.now(UTC)).server
        tls = oms.config.home / "tls"
        before = {first}
        for file in (tls / "web.crt", tls / "bus.crt"):
            file.write_text(aged(ca, file))
            before.add(enrolment.fingerprint(enrolment.read_certificate(file.read_text())))
        await until(shown, lambda now: now not in before)
    assert renewed
