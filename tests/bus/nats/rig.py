"""A real nats-server on a free port of this machine, with OMS's end and as many agents as a test wants."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from oms.bus.nats.agent import NatsAgentWire
from oms.bus.nats.callout import Admission
from oms.bus.nats.client import Credentials
from oms.bus.nats.config import BusConfig, render
from oms.bus.nats.link import LinkTiming
from oms.bus.nats.nkey import Issuer
from oms.bus.nats.server import NatsServerWire
from oms.bus.nats.supervisor import Supervisor
from tests.bus.nats.pki import Identity, Pki
from tests.free_port import free_port

H1 = "1" * 32
H2 = "2" * 32
H3 = "3" * 32

SERVER_QUICK = LinkTiming(
    first_delay=0.05, longest_delay=0.2, connect_timeout=20, round_trip_every=0.3, round_trip_timeout=20
)
AGENT_QUICK = replace(SERVER_QUICK, first_delay=0.1, longest_delay=0.4)
"""Come back at once, and take no machine that stalls for a nats-server that hangs."""
SERVER_HASTY = replace(SERVER_QUICK, connect_timeout=1, round_trip_timeout=0.5)
AGENT_HASTY = replace(AGENT_QUICK, connect_timeout=1, round_trip_timeout=0.5)
"""Where nats-server truly hangs."""
AGENT_SLOW = LinkTiming(first_delay=600, longest_delay=600)
"""Does not come back by itself within a test."""


async def echo(verb: str, payload: bytes) -> bytes:
    return verb.encode() + b" " + payload


@dataclass
class Rig:
    """`signed` is the database: fingerprint -> admission."""

    folder: Path
    signed: dict[str, Admission] = field(default_factory=dict)
    presence: list[tuple[str, bool, str]] = field(default_factory=list)
    events: list[tuple[str, str, bytes]] = field(default_factory=list)
    lookups: int = 0

    def __post_init__(self) -> None:
        self.pki = Pki(self.folder)
        self.issuer = Issuer.generate()
        self.port = free_port()
        self.run_dir = self.folder / "run"
        self.stack = AsyncExitStack()
        self.hosts: dict[str, Identity] = {}
        self.supervisor = Supervisor(render(self.config()), self.run_dir)

    def config(self, **changes: Any) -> BusConfig:
        config = BusConfig(
            listen=self.address,
            run_dir=self.run_dir,
            cert_file=self.pki.nats.cert,
            key_file=self.pki.nats.key,
            clients_ca_file=self.pki.clients_ca,
            issuer=self.issuer.public,
        )
        return replace(config, **changes)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.supervisor.start()
        self.stack.push_async_callback(self.end_nats)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stack.aclose()

    async def end_nats(self) -> None:
        if self.supervisor.pid is not None:
            os.kill(self.supervisor.pid, signal.SIGCONT)
        pid = self.supervisor.pid
        await self.supervisor.stop(keep=True)
        if pid is not None:  # a polite end would wait 5 s for connections that nobody decides about any more
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, pid, 0)

    def credentials(self, identity: Identity) -> Credentials:
        return Credentials(ca_file=self.pki.bus_ca, cert_file=identity.cert, key_file=identity.key)

    async def lookup(self, fingerprint: str) -> Admission | None:
        self.lookups += 1
        return self.signed.get(fingerprint)

    async def is_signed(self, host_id: str) -> bool:
        return any(admission.host_id == host_id for admission in self.signed.values())

    def revoke(self, host_id: str) -> None:
        self.signed = {print_: one for print_, one in self.signed.items() if one.host_id != host_id}

    def sign(self, host_id: str) -> Identity:
        """A host with a certificate that the database knows."""
        if host_id not in self.hosts:
            self.hosts[host_id] = self.pki.host(f"host-{host_id}")
        identity = self.hosts[host_id]
        self.signed[identity.fingerprint] = Admission(host_id, identity.expires)
        return identity

    async def oms(self, *, wait: bool = True, **changes: Any) -> NatsServerWire:
        """OMS's end, ready unless `wait` is False."""
        settings: dict[str, Any] = {
            "sys": self.credentials(self.pki.sys),
            "bus": self.credentials(self.pki.calls),
            "issuer": self.issuer,
            "lookup": self.lookup,
            "is_signed": self.is_signed,
            "timing": SERVER_QUICK,
        }
        wire = NatsServerWire((self.address,), **settings | changes)
        wire.on_presence(lambda *told: self.presence.append(told))
        wire.on_event(lambda *told: self.events.append(told))
        wire.start()
        self.stack.push_async_callback(wire.close)
        if wait:
            await asyncio.wait_for(wire.wait_ready(), 60)
        return wire

    async def agent(
        self,
        host_id: str,
        handler: Callable[[str, bytes], Awaitable[bytes]] = echo,
        *,
        identity: Identity | None = None,
        wait: bool = True,
        **changes: Any,
    ) -> NatsAgentWire:
        """A host's end, connected unless `wait` is False."""
        credentials = self.credentials(identity or self.sign(host_id))
        wire = NatsAgentWire(host_id, (self.address,), credentials, **{"timing": AGENT_QUICK} | changes)
        wire.serve(handler)
        wire.start()
        self.stack.push_async_callback(wire.close)
        if wait:
            await asyncio.wait_for(wire.wait_connected(), 60)
        return wire

    def signal_nats(self, number: signal.Signals) -> None:
        assert self.supervisor.pid is not None
        os.kill(self.supervisor.pid, number)
