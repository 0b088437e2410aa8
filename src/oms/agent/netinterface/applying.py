"""A change of the host's network that stays only if the host has reached OMS with it.

    judged ──journal──> done ──> OMS reached ──journal──> written into files ──> end
              │            └── not within a minute, or refused half-way ──> undone
              └── the agent ended before OMS was reached ──> undone, at its next start before all else

What is written down is the part of the network that the change is about, as it was. To undo is to make that part
again what it was, whatever has become of it: so it can be done twice, and after a crash at any point. Files follow
when OMS was reached: a host that loses its power before that comes up as it was.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from oms.agent.context import Host, Job
from oms.agent.host.boot import boot_id
from oms.agent.host.network import Network
from oms.agent.host.network_changes import Change, restoring, touched
from oms.agent.netinterface import guests
from oms.agent.netinterface.files import NOT_KEPT
from oms.agent.netinterface.kept import Kept, check_names
from oms.agent.netinterface.side import Side
from oms.agent.netinterface.view import Plan, View
from oms.contract.errors import FuncManError, JobInterrupted, NotSupported, OmsError
from oms.contract.netinterface import NotFitting, TakenBack

log = structlog.get_logger("oms.agent")
BEGUN, REACHED = "begun", "reached"
"""What a job has written down: all that it takes to undo it; that OMS was reached with it."""
MOST_ROUTES = 2000
"""Of what is written down."""
RESTORE_TRIES = 3

Judge = Callable[[View], Plan]


class Begun(msgspec.Struct, frozen=True):
    """A change that may have been made. `boot`: since when the host runs; after a restart nothing is left of
    it."""

    boot: str
    before: Network
    names: tuple[str, ...]
    plan: Plan
    kept_before: Kept


def side_of(host: Host) -> Side:
    """The host's network. Raises NotSupported."""
    if host.network is None:
        raise NotSupported("This host's agent has no hand on its network.")
    return host.network


async def view_of(host: Host, *, with_guests: bool = True) -> View:
    """All that a change is judged by. Raises FuncManError, and HypervisorUnavailable where guests are to be in
    it."""
    side = side_of(host)
    network = await side.kernel.look()
    users, ends = await guests.on_bridges(host) if with_guests else ({}, {})
    return View(network, await side.kept(), await side.theirs(network), users, ends)


async def apply(host: Host, judge: Judge, *, with_guests: bool = True) -> int:
    """Make a change as a job; 0 when it stays. `with_guests`: who is on bridges is part of what it is judged by.
    Raises what `judge` raises, TakenBack, JobInterrupted."""
    side, job = side_of(host), host.job
    if (text := job.recall(BEGUN)) is None:
        begun = await _judged(host, judge, with_guests=with_guests)
        if not begun.plan.now and begun.plan.kept == begun.kept_before:
            return 0
        await job.record(BEGUN, msgspec.to_builtins(begun))
        await _do(side, begun)
        await job.record(REACHED, True)
    else:
        begun = msgspec.convert(text, Begun)
        await _taken_up(side, job, begun)
    await _finish(side, job, begun)
    return 0


async def _judged(host: Host, judge: Judge, *, with_guests: bool) -> Begun:
    side = side_of(host)
    view = await view_of(host, with_guests=with_guests)
    plan = judge(view)
    if (way := side.files()).keeps:
        check_names(plan.kept)
        await asyncio.to_thread(way.check, plan.kept, view.network)
        for key, text in plan.notes.items():
            host.job.note(key, text)
    else:
        host.job.note("restart", f"{NOT_KEPT}{way.words}")
    names = tuple(sorted(touched((*plan.now, *plan.then))))
    before = view.network.of(names)
    if len(before.routes) > MOST_ROUTES:
        raise NotFitting(f"More than {MOST_ROUTES} routes go with this: that is not done from here.")
    return Begun(boot_id(), before, names, plan, view.kept)


async def _do(side: Side, begun: Begun) -> None:
    """Make the change and reach OMS with it, or take it back, whatever comes between."""
    try:
        await side.kernel.change(list(begun.plan.now))
        reached = not begun.plan.now or await side.reached(side.confirm_seconds)
    except BaseException:  # also when the agent is told to end: it does not leave its host in doubt
        await take_back(side, begun)
        raise
    if not reached:
        await take_back(side, begun)
        raise TakenBack(
            f"With this the host did not reach OMS within {side.confirm_seconds:g} s, so it has undone it: all "
            "is as "
            "it was before.",
            seconds=side.confirm_seconds,
        )


async def _taken_up(side: Side, job: Job, begun: Begun) -> None:
    """An earlier run of the agent broke off. What OMS was not reached with is undone, if that was not done yet."""
    restarted, reached = begun.boot != boot_id(), job.recall(REACHED)
    if reached and (not restarted or await side.kept() == begun.plan.kept):
        return  # also where the host came up with it
    if reached:
        await _unwrite(side, begun)
    await take_back(side, begun)
    why = "the host was restarted" if restarted else "its agent broke off"
    raise JobInterrupted(
        f"Before it was sure that OMS is reached with this, {why}: it was undone, all is as before."
    )


async def _finish(side: Side, job: Job, begun: Begun) -> None:
    """What follows when OMS was reached. Raises TakenBack, FuncManError where it was undone after all."""
    try:
        taken = await side.keep(begun.plan.kept)
        if taken and not await side.reached(side.confirm_seconds):
            raise TakenBack(
                "When the host's own network service took this up, the host did not reach OMS: it has undone it, "
                "all is as it was before."
            )
    except OmsError as error:
        await _unwrite(side, begun)
        await take_back(side, begun)
        if isinstance(error, TakenBack):
            raise
        raise FuncManError(f"{error.message} The change was undone: all is as it was before.") from error
    await side.kernel.change(list(begun.plan.then))
    job.note("kept", side.files().words if side.files().keeps else "not")


async def _unwrite(side: Side, begun: Begun) -> None:
    """Make the files say what they said. Where that cannot be done, what runs is still to be made as it was."""
    try:
        await side.keep(begun.kept_before)
    except OmsError as error:
        log.error("the network's files do not say what they said", why=error.message)  # noqa: TRY400 - no bug


async def take_back(side: Side, begun: Begun) -> None:
    """Make what runs as it was; after a restart of the host nothing of the change is left in it. Raises
    FuncManError where the kernel does not let it."""
    if begun.boot != boot_id():
        return
    for left in reversed(range(RESTORE_TRIES)):
        try:
            if not (changes := await _still_to_do(side, begun)):
                break
            await side.kernel.change(changes)
        except FuncManError as error:
            log.error("a change of the network was not undone at once", why=error.message)  # noqa: TRY400 - no bug
            if not left:
                raise
    log.warning("a change of the network was undone", links=begun.names)


async def _still_to_do(side: Side, begun: Begun) -> list[Change]:
    now = await side.kernel.look()
    if now.of(begun.names) == begun.before or _alike(now.of(begun.names), begun.before):
        return []
    return restoring(begun.before, now, begun.names)


def _alike(now: Network, before: Network) -> bool:
    """The same in another order."""
    return (
        set(now.addresses) == set(before.addresses)
        and set(now.routes) == set(before.routes)
        and {_essence(link) for link in now.links} == {_essence(link) for link in before.links}
    )


def _essence(link: Any) -> tuple[Any, ...]:
    return (link.name, link.up, link.master, link.mac)


async def recover(side: Side, unfinished: list[tuple[Any, dict[str, Any]]]) -> None:
    """At the agent's start, before all else: undo what the last run could not be sure of. The jobs themselves end
    when they are taken up again, and find it undone."""
    for entry, records in unfinished:
        text = records.get(BEGUN)
        if not entry.verb.startswith("netinterfaceservices.") or text is None or records.get(REACHED):
            continue
        try:
            await take_back(side, msgspec.convert(text, Begun))
        except OmsError as error:
            log.error("a change of the network was not undone", job=entry.id, why=error.message)  # noqa: TRY400
