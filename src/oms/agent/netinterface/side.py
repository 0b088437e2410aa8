"""The host's network as handlers are given it: the door to the kernel, the files, and the way to ask for OMS."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from oms.agent.host import netlink
from oms.agent.host.network import Network
from oms.agent.host.network_changes import Change
from oms.agent.host.process import ProgramMissing, ProgramTimeout, run
from oms.agent.netinterface import files
from oms.agent.netinterface.files import Way
from oms.agent.netinterface.kept import Kept, Theirs
from oms.contract.errors import FuncManError

log = structlog.get_logger("oms.agent")
RELOAD_SECONDS = 20.0
CONFIRM_SECONDS = 60.0


class Kernel(Protocol):
    """The network itself. Both raise FuncManError."""

    async def look(self) -> Network:
        """As it is now."""

    async def change(self, changes: list[Change]) -> None:
        """These changes in their order, up to the first that is refused."""


class Netlink:
    """The real one."""

    async def look(self) -> Network:
        """See Kernel."""
        return await netlink.look()

    async def change(self, changes: list[Change]) -> None:
        """See Kernel."""
        await netlink.change(changes)


@dataclass(frozen=True)
class Side:
    """`reached`: whether OMS is reached anew within so many seconds; `root`: where the files' names begin."""

    reached: Callable[[float], Awaitable[bool]]
    root: Path = Path("/")
    way: Way = "auto"
    confirm_seconds: float = CONFIRM_SECONDS
    kernel: Kernel = field(default_factory=Netlink)

    def files(self) -> files.Files:
        """How this host's network comes up, as of now."""
        return files.detect(self.way, self.root)

    async def kept(self) -> Kept:
        """What OMS keeps. Raises ConfigurationReadError."""
        return await asyncio.to_thread(files.read, self.root)

    async def theirs(self, network: Network) -> dict[str, Theirs]:
        """What others' files say of links. Raises FuncManError."""
        try:
            return dict(await asyncio.to_thread(lambda: self.files().theirs(network)))
        except OSError as error:
            raise FuncManError(f"This host's network files cannot be read ({error.strerror}).") from error

    async def keep(self, kept: Kept) -> bool:
        """Write down what is to be there after a restart; whether something that runs took it up at once. Raises
        FuncManError."""
        way = self.files()
        if not way.keeps:
            return False
        await asyncio.to_thread(files.keep, way, self.root, kept)
        if not (command := way.reload()):
            return False
        try:
            done = await run(command, timeout=RELOAD_SECONDS)
        except (ProgramMissing, ProgramTimeout) as failure:
            log.warning("the network's files are taken at the next start", why=str(failure))
            return False
        if done.exit:
            log.warning("the network's files are taken at the next start", why=done.words)
        return not done.exit
