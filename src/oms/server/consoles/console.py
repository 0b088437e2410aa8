"""One console as it is set up."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Literal

from oms.server.consoles.recording import Recording
from oms.server.consoles.relay import Socket
from oms.server.consoles.shelf import About
from oms.server.consoles.terminal import Terminal
from oms.server.store.hosts import Host
from oms.server.store.sessions import Session

Kind = Literal["vnc", "text", "ssh"]
"""A machine's screen, a guest's text console, a terminal on the host itself."""
GuestKind = Literal["kvm", "openvz"]


@dataclass(eq=False)
class Console:
    """`guest` and `uuid` are empty for a terminal on the host; `port` is None for one that has none of its own."""

    id: str
    kind: Kind
    session: Session
    host: Host
    guest: str = ""
    guest_kind: GuestKind = "kvm"
    uuid: str = ""
    port: int | None = None
    terminal: Terminal | None = None
    recording: Recording | None = None
    viewers: dict[Socket, bool] = field(default_factory=dict)
    """Who looks on now, and whether that is all he may."""
    set_up: float = field(default_factory=time.time)
    left: float = field(default_factory=time.monotonic)
    """When the last viewer went, or it was set up."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the viewer that begins its program anew."""
    used: bool = False
    """Something was typed or clicked since its session was last told so."""

    @property
    def target(self) -> tuple[Kind, str, GuestKind, str]:
        """What it shows: there is one console of a kind for a machine or a host."""
        return self.kind, self.host.id, self.guest_kind, self.uuid

    @property
    def title(self) -> str:
        """For a window."""
        return f"{self.guest} on {self.host.name}" if self.guest else self.host.name

    @property
    def about(self) -> About:
        """For its recording."""
        return About(self.id, self.kind, self.host.name, self.guest, self.session.user)

    def touch(self) -> None:
        """Somebody does something in it."""
        self.used = True
