"""All that there is to events, for those who need it: the log, what is gathered for it, and who may wait."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from oms.contract.event.accounts import ConsoleClosed, ConsoleData, ConsoleOpened
from oms.server.consoles.console import Console
from oms.server.consoles.consoles import Change
from oms.server.events.bell import Alone, Bell
from oms.server.events.gathering import Gathering
from oms.server.events.log import EventLog
from oms.server.events.places import Places
from oms.server.inventory import Inventory
from oms.server.metrics.figures import HostFigures
from oms.server.store import Store, events


@dataclass(frozen=True)
class News:
    """The parts. `longest_wait`: seconds that a call may wait."""

    log: EventLog
    gathering: Gathering
    places: Places
    longest_wait: float

    @classmethod
    async def begun(
        cls,
        store: Store,
        changed: Callable[[str], None],
        *,
        listeners: int,
        wait: float,
        bell: Bell | None = None,
    ) -> "News":
        """Over a store, from its newest event on. `changed` hears the id of each host whose guests are others now;
        `listeners` may listen at a time, and a call wait so many seconds; `bell` is the door to other servers.

        Raises the document's Database...Errors.
        """
        log = EventLog(store, bell or Alone())
        await log.begin()
        return cls(log, Gathering(store, changed), Places(listeners), wait)

    async def run(self) -> None:
        """For ever."""
        await asyncio.gather(self.log.watch(), self.gathering.run())

    def follow(self, inventory: Inventory, figures: HostFigures) -> None:
        """Tell what hosts tell of their guests, and how busy they are."""
        inventory.on_change(self.gathering.guest)
        inventory.on_first(self.gathering.guests)
        figures.on_figures(self.gathering.figures)

    def console(self, console: Console, user: str, change: Change) -> None:
        """A console was opened or closed for a user."""
        kind = ConsoleOpened if change == "opened" else ConsoleClosed
        data, host = ConsoleData(console.id, console.kind, console.guest), console.host.name
        self.gathering.say(lambda tx: events.tell(tx, kind, data, host=host, user=user))
