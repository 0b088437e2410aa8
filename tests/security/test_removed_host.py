"""A host that was removed stays out, whatever is started anew meanwhile and whoever has a copy of its files."""

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import psutil
import pytest

from oms.agent.identity import Identity
from oms.bus import enrolment
from oms.bus.nats.client import Credentials, LinkFailed, Silence, connect, discard
from oms.bus.wire import Refused
from tests.hosts.stack import NAME
from tests.security.watched import Watched
from tests.security.wire import request

pytestmark = pytest.mark.hosts


class Thief:
    """Somebody with a copy of a host's identity."""

    def __init__(self, oms: Watched) -> None:
        self._oms = oms
        self.files = Identity(oms.directory / "stolen")
        shutil.copytree(oms.directory / "agent", self.files.home, symlinks=True)

    def enters(self) -> bool:
        """Whether the bus lets him in. It is tried for as long as the bus is away."""
        credentials = Credentials(
            ca_file=self.files.server_ca, cert_file=self.files.certificate, key_file=self.files.signed_key
        )
        return asyncio.run(self._enters(credentials))

    async def _enters(self, credentials: Credentials) -> bool:
        end = time.monotonic() + 60
        while True:
            try:
                client = await connect(f"127.0.0.1:{self._oms.bus_port}", credentials, name="thief", timeout=3)
            except (Refused, Silence):
                return False  # not let in, or not until somebody decides
            except (LinkFailed, OSError):
                assert time.monotonic() < end, "the bus is away"
                await asyncio.sleep(0.1)
            else:
                await discard(client)
                return True

    def asks(self, page: str, body: msgspec.Struct) -> tuple[int, str]:
        """What the way in answers him: the status, and how his request stands."""
        with self._oms.connect() as connection:
            reply = connection.send(request("POST", page, msgspec.json.encode(body))).reply()
        assert reply is not None
        return reply.status, json.loads(reply.body).get("state", "")


@pytest.fixture
def thief(watched: Watched) -> Iterator[Thief]:
    yield Thief(watched)
    shutil.rmtree(watched.directory / "stolen")


def on_the_bus(watched: Watched) -> set[int]:
    """The connections of the host's own agent to the bus, by its own ports."""
    connections = psutil.Process(watched.pid("agent")).net_connections()
    return {
        c.laddr.port
        for c in connections
        if c.raddr and c.raddr.port == watched.bus_port and c.status == "ESTABLISHED"
    }


def test_a_removed_host_stays_out_after_whatever_is_started_anew(watched: Watched, thief: Thief) -> None:
    caller = watched.honest
    had = on_the_bus(watched)
    assert had
    began = time.monotonic()
    assert caller.func("remove_signed", [NAME]) == {"failed_removals": []}
    # The agent knocks again at once, so a connection that is being refused may be there; the old one is not.
    assert not had & on_the_bus(watched), "its connection was cut before the answer"
    assert time.monotonic() - began < 10
    assert not thief.enters()

    watched.kill("nats")
    assert not thief.enters()

    caller.close()
    watched.kill("server")
    try:
        assert not thief.enters(), "nobody decides, so nobody is let in"
    finally:
        watched.start("server")
        watched.wait_for_server()
    assert not thief.enters()

    key, certificate = thief.files.signed_key.read_bytes(), thief.files.certificate.read_text()
    renewal = enrolment.sign_renewal(
        key, certificate, enrolment.make_csr(enrolment.make_key(), NAME), datetime.now(UTC)
    )
    assert thief.asks("/enrol/renew", renewal)[0] == 403
    assert thief.asks("/enrol", enrolment.EnrolRequest(enrolment.make_csr(key, NAME))) == (200, "refused")
    assert {"name": NAME} not in caller.func("list_signed")

    watched.sign_in()
    assert on_the_bus(watched)
    assert not thief.enters(), "the name is signed again, with another key"
    assert caller.kvm("list_vms_status")
