"""What of a container leaves, looked at before anything is changed."""

import msgspec

from oms.agent.guests import Stat
from oms.agent.guests.containers import Container, Containers
from oms.agent.host import process, rsync
from oms.agent.ovz.moving import rules
from oms.agent.ovz.moving.words import Offer
from oms.contract.errors import FuncManError


class Plan(msgspec.Struct, frozen=True):
    """What leaves, and how it was."""

    ctid: str
    onboot: bool
    offer: Offer


async def planned(ctid: str, containers: Containers) -> Plan:
    """The plan of a move. Raises OpenVZMigrationNotCapable, NoSuchContainer."""
    container = await containers.find(ctid)
    rules.check_can_leave(container, containers.capabilities, rsync.lacking())
    wanted: frozenset[Stat] = frozenset({"memory"})
    use = (await containers.use(wanted)).get(ctid)
    offer = Offer(
        settings=container.settings,
        bridge=container.network.bridge,
        mac=container.network.mac,
        used_kb=await _used_kb(container),
        memory_kb=use.memory.used_kb if use and use.memory and container.runs else 0,
        runs=container.runs,
    )
    return Plan(ctid, container.settings.onboot, offer)


async def _used_kb(container: Container) -> int:
    """What its files take."""
    words = ["du", "--summarize", "--block-size=1K", "--", str(container.rootfs)]
    done = await process.run(words, timeout=None)
    number = done.stdout.split()[:1]
    if not number or not number[0].isdigit():
        raise FuncManError(f"It cannot be told how much is in container {container.ctid}: {done.words}")
    return int(number[0])
