"""All that there is to events, for those who need it: the log, what is gathered for it, and who may wait."""

from collections.abc import Callable
from dataclasses import dataclass

from oms.server.events.bell import Alone, Bell
from oms.server.events.gathering import Gathering
from oms.server.events.log import EventLog
from oms.server.events.places import Places
from oms.server.inventory import Inventory
from oms.server.metrics.figures import HostFigures
from oms.server.store import Store


@dataclass(frozen=True)
class News:
    """The parts. `longest_wait`: seconds that a call may wait."""

    log: EventLog
    gathering: Gathering
    places: Places
    longest_wait: float

    @classmethod
    def over(
        cls,
        store: Store,
        changed: Callable[[str], None],
        *,
        listeners: int,
        longest_wait: float,
        bell: Bell | None = None,
    ) -> "News":
        """`changed` hears the id of each host whose guests are others now; `listeners` may wait at a time; `bell`
        is the door to other servers."""
        log = EventLog(store, bell or Alone())
        return cls(log, Gathering(store, changed), Places(listeners), longest_wait)

    def follow(self, inventory: Inventory, figures: HostFigures) -> None:
        """Tell what hosts tell of their guests, and how busy they are."""
        inventory.on_change(self.gathering.guest)
        inventory.on_first(self.gathering.guests)
        figures.on_figures(self.gathering.figures)
