"""What happens so often that only how it stands now is told, and what happens outside of the database.

It is gathered for a moment, and written in one transaction, for all hosts together: how jobs go on, how busy hosts
are, what their agents say of their guests. Nothing runs while there is nothing to tell.
"""

import asyncio
from collections.abc import Callable, Mapping

import structlog
from sqlalchemy import Connection

from oms.contract.errors import OmsError
from oms.contract.event.fleet import HostLoad, HostMeasured
from oms.contract.internal import Figures
from oms.server.inventory import Difference, Key
from oms.server.rules.loads import load, notable
from oms.server.rules.sights import ALL_ANEW, MOST_TOLD, Became, happened
from oms.server.store import Store, events, hosts, jobs

log = structlog.get_logger("oms.events")
FIRST_SECONDS = 0.05
"""A guest is another because a job did something: how that ended, which somebody waits for, is written first."""
SOON_SECONDS = 0.25
LATER_SECONDS = 1.0
AGAIN_SECONDS = 5.0
"""After the database did not take it."""
Say = Callable[[Connection], None]


class Gathering:
    """What is to be told soon. Its methods neither wait nor raise."""

    def __init__(self, store: Store, changed: Callable[[str], None]) -> None:
        """`changed` hears the id of each host whose guests are others now."""
        self._store, self._changed = store, changed
        self._said: list[Say] = []
        self._guests: dict[str, dict[Key, Became] | None] = {}
        """By host, what has become of each; None where all are to be looked at."""
        self._loads: dict[str, HostLoad] = {}
        self._loads_told: dict[str, HostLoad] = {}
        self._progressed: set[str] = set()
        self._something = asyncio.Event()
        self._later = 0.0
        self._heard: set[str] = set()
        self.tells = True
        """Whether it is this server that tells of hosts; where there are several, each hears them."""

    def take_over(self, *, tells: bool) -> None:
        """This server tells of hosts from now on, or another one does."""
        begins, self.tells = tells and not self.tells, tells
        if begins:  # what happened meanwhile, nobody may have told
            self._guests |= dict.fromkeys(self._heard)
            self._something.set()

    def say(self, tell: Say) -> None:
        """Something has happened outside of the database: `tell` tells it in a transaction of ours."""
        self._said.append(tell)
        self._something.set()

    def progressed(self, job_id: str) -> None:
        """A job that has not ended stands otherwise."""
        self._progressed.add(job_id)
        self._something.set()

    def guest(self, difference: Difference) -> None:
        """A guest is another than it was."""
        host_id, before, now = difference
        self._heard.add(host_id)
        self._changed(host_id)
        self._something.set()
        known = self._guests.setdefault(host_id, {})
        if known is None or not (line := now or before):
            return
        key = line.kind, line.id
        known[key] = (known[key][0] if key in known else before, now)
        if len(known) > MOST_TOLD:
            self._guests[host_id] = None

    def guests(self, host_id: str) -> None:
        """A host has told all of its guests, and it is not known what they were before."""
        self._guests[host_id] = None
        self._heard.add(host_id)
        self._something.set()

    def figures(self, host_id: str, figures: Figures, busy: float) -> None:
        """A host tells how busy it is. `busy`: its CPUs, in percent."""
        now = load(figures, busy)
        if notable(self._loads_told.get(host_id), now):
            self._loads[host_id] = now
            self._something.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._something.wait()
            await asyncio.sleep(FIRST_SECONDS)
            self._something.clear()
            try:
                await self._tell()
            except OmsError as failure:
                log.warning("events not written", failure=failure.message)
                await asyncio.sleep(AGAIN_SECONDS)
            await asyncio.sleep(SOON_SECONDS - FIRST_SECONDS)

    async def _tell(self) -> None:
        """Write what there is; what can wait waits for its time. What could not be written is told the next time,
        of guests no more than that something was."""
        said, self._said = self._said, []
        guests, self._guests = self._guests, {}
        loads, progressed = self._in_time()
        if not self.tells:
            said, guests, loads = [], {}, {}
        try:
            await self._store.write(lambda tx: _write(tx, said, guests, loads, progressed))
        except OmsError:
            self._said[:0] = said
            self._guests |= dict.fromkeys(guests)
            self._loads = loads | self._loads
            self._progressed |= progressed
            self._something.set()
            raise
        self._loads_told |= loads

    def _in_time(self) -> tuple[dict[str, HostLoad], set[str]]:
        """What is told once a second at most: loads, and which jobs have gone on."""
        moment = asyncio.get_running_loop().time()
        if moment < self._later:
            if self._loads or self._progressed:
                self._something.set()
            return {}, set()
        self._later = moment + LATER_SECONDS
        loads, self._loads = self._loads, {}
        progressed, self._progressed = self._progressed, set()
        return loads, progressed


def _write(
    tx: Connection,
    said: list[Say],
    guests: Mapping[str, Mapping[Key, Became] | None],
    loads: Mapping[str, HostLoad],
    progressed: set[str],
) -> None:
    for tell in said:
        tell(tx)
    names = hosts.names(tx) if guests or loads else {}
    for host_id in guests.keys() & names.keys():
        became = guests[host_id]
        for one in ALL_ANEW if became is None else happened(became.values()):
            events.tell(tx, one.kind, one.data, host=names[host_id], guest=one.guest)
    for host_id in loads.keys() & names.keys():
        events.tell(tx, HostMeasured, loads[host_id], host=names[host_id])
    for job in jobs.by_ids(tx, progressed):
        jobs.tell_progress(tx, job)
