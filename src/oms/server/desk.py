"""What a method that OMS itself answers is given beside its operation: who asks, and all that OMS has."""

from dataclasses import dataclass

from oms.bus.call import Caller
from oms.contract.handlers import Handlers
from oms.contract.operation import Permission
from oms.server.ca.client import SignerClient
from oms.server.consoles.consoles import Consoles
from oms.server.events.news import News
from oms.server.fleet import Fleet
from oms.server.inventory import Inventory
from oms.server.jobs import Jobs
from oms.server.metrics.figures import HostFigures
from oms.server.outside import Outside
from oms.server.rules.guessing import Guesses
from oms.server.sessions import Sessions
from oms.server.store import Store
from oms.server.store.sessions import Session


@dataclass(frozen=True)
class House:
    """The parts of one server, made by `main`."""

    store: Store
    sessions: Sessions
    guesses: Guesses
    signer: SignerClient
    caller: Caller
    fleet: Fleet
    inventory: Inventory
    figures: HostFigures
    jobs: Jobs
    consoles: Consoles
    events: News
    outside: Outside
    ca_sha256: str
    certificate_days: int


@dataclass(frozen=True)
class Desk:
    """One call: its user (empty at the login), role, address, SESSID, the house, and the session as it was `known`
    at the door."""

    user: str
    role: Permission
    address: str
    sessid: object
    house: House
    known: Session | None = None

    async def session(self) -> Session:
        """The session of the call. Raises AuthError where it has ended meanwhile."""
        return await self.house.sessions.check(self.sessid)


Table = Handlers[Desk]
