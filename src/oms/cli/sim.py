"""`oms sim`: a fleet of hosts that are not there, for whoever wants to see OMS with many."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from oms.agent.config import AgentConfig, checked
from oms.agent.simulation.fleet import Fleet, pinned
from oms.agent.simulation.plan import Wanted
from oms.cli import logs, profiles
from oms.cli.failures import said
from oms.cli.groups import room
from oms.client import Client
from oms.contract.func import ListRequests, SignRequests
from oms.settings import SettingsError

app = room("Simulate a fleet of hosts with guests.", invoke_without_command=True)
LOOK_SECONDS = 1.0
SIGNED_AT_ONCE = 32
ASKING_AT_ONCE = 24
SAY_SECONDS = 5.0

Hosts = Annotated[int, typer.Option(min=1, max=10_000, help="How many hosts.")]
Guests = Annotated[int, typer.Option(min=0, max=1000, help="Guests on each: three machines to one container.")]
Server = Annotated[str | None, typer.Option(metavar="URL", help="OMS's address; that of `oms login` by default.")]
CaSha256 = Annotated[str | None, typer.Option(metavar="HEX", help="The fingerprint that OMS printed.")]
CaFile = Annotated[Path | None, typer.Option(help="OMS's CA itself (PEM), instead of its fingerprint.")]
Sign = Annotated[bool, typer.Option("--sign", help="Sign the hosts too, by the session of `oms login`.")]
Slow = Annotated[int, typer.Option(min=0, help="How many of them take up to 3 s for each answer.")]
Hung = Annotated[int, typer.Option(min=0, help="How many of them are connected and never answer.")]
Flapping = Annotated[int, typer.Option(min=0, help="How many of them come and go.")]
Expired = Annotated[int, typer.Option(min=0, help="How many of them are let in and never seen again.")]
Seed = Annotated[int, typer.Option(help="The same number makes the same fleet.")]
Prefix = Annotated[str, typer.Option(help="What their names begin with.")]
Data = Annotated[Path | None, typer.Option(help="Where their keys are kept.", readable=False, show_default=False)]


@app.callback()
def sim(
    hosts: Hosts = 20,
    guests: Guests = 20,
    server: Server = None,
    ca_sha256: CaSha256 = None,
    ca_file: CaFile = None,
    sign: Sign = False,
    slow: Slow = 0,
    hung: Hung = 0,
    flapping: Flapping = 0,
    expired: Expired = 0,
    seed: Seed = 1,
    prefix: Prefix = "sim",
    data: Data = None,
) -> None:
    """Have hosts with guests enrol, and be there until Ctrl-C: agents as on real hosts, over nothing.

    They ask to be let in like others. `--sign` lets them in at once; else sign them as you sign others.
    """
    wanted = Wanted(hosts, guests, slow, hung, flapping, expired, seed, prefix)
    if wanted.troubled > hosts:
        raise SettingsError(f"{wanted.troubled} hosts are to have trouble, of {hosts}: give a higher --hosts.")
    with said("sim"):
        known = profiles.chosen()
    if server is None and known.urls:
        server, ca_sha256 = known.urls[0], ca_sha256 or known.ca_sha256
        ca_file = ca_file or (Path(known.ca_file) if known.ca_file else None)
    common = checked(
        AgentConfig(
            server=server or "",
            ca_sha256=ca_sha256 or "",
            ca_file=ca_file,
            name=f"{prefix}-0001",
            data=data or _data(),
        )
    )
    logs.set_up("console" if sys.stderr.isatty() else "json", "error")  # a thousand hosts say a lot
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with said("sim"):
            asyncio.run(_run(wanted, common, sign=sign))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _data() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/oms-sim")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "oms-sim"


async def _run(wanted: Wanted, common: AgentConfig, *, sign: bool) -> None:
    """Until told to end. Raises NotOurs, ClientError, OmsError."""
    told = asyncio.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(ASKING_AT_ONCE))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with _signing(sign) as client:
        fleet = Fleet(wanted, await pinned(common))
        works = [asyncio.create_task(fleet.run()), asyncio.create_task(_say(fleet, wanted))]
        if client is not None:
            works.append(asyncio.create_task(_sign(fleet, client)))
        ending = asyncio.create_task(told.wait())
        await asyncio.wait((*works, ending), return_when=asyncio.FIRST_COMPLETED)
        for task in (*works, ending):
            task.cancel()
        for outcome in await asyncio.gather(*works, return_exceptions=True):
            _raise(outcome)


def _raise(outcome: object) -> None:
    """What a part of the work ended by, out of the groups that asyncio makes of it."""
    while isinstance(outcome, BaseExceptionGroup):
        outcome = outcome.exceptions[0]
    if isinstance(outcome, Exception):
        raise outcome


@contextlib.asynccontextmanager
async def _signing(wanted: bool) -> AsyncIterator[Client | None]:
    if not wanted:
        yield None
        return
    async with profiles.logged_in().client() as client:
        yield client


async def _sign(fleet: Fleet, client: Client) -> None:
    """Let our hosts in as they ask, until all are."""
    while ours := fleet.to_sign():
        asking = [host.name for host in await client.call(ListRequests()) if host.name in ours]
        for begin in range(0, len(asking), SIGNED_AT_ONCE):
            await client.call(SignRequests(tuple(asking[begin : begin + SIGNED_AT_ONCE])))
        await asyncio.sleep(LOOK_SECONDS)
    await asyncio.Event().wait()


async def _say(fleet: Fleet, wanted: Wanted) -> None:
    """How far it is, whenever that has changed."""
    print(f"{wanted.hosts} hosts with {wanted.guests} guests each. Ctrl-C ends it.", flush=True)
    said = ""
    while True:
        await asyncio.sleep(SAY_SECONDS if said else LOOK_SECONDS)
        count = fleet.count()
        line = f"{count['entered']} are signed, {count['connected']} connected"
        for why, hosts in fleet.waiting().most_common(1):
            line += f"; {hosts} wait {why}" if why.startswith("to be") else f"; {hosts} wait: {why}"
        if line != said:
            said = line
            print(line, flush=True)
