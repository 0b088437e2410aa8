"""Which machines and containers of this host are on which of its bridges, whether they run or not."""

from collections import defaultdict
from collections.abc import Mapping

from oms.agent.context import Host
from oms.contract.errors import NoSuchMachine

Users = Mapping[str, tuple[str, ...]]
Ends = Mapping[str, str]


async def on_bridges(host: Host) -> tuple[Users, Ends]:
    """The guests by the bridge that their definitions name, and by the link that is their end of a line. Raises
    HypervisorUnavailable: what cannot be asked may need the bridge."""
    users: dict[str, dict[str, None]] = defaultdict(dict)
    ends: dict[str, str] = {}
    for machine in await host.machines.all() if host.machines is not None else ():
        for definition in filter(None, (machine.live, machine.kept)):
            for nic in definition.nics:
                if nic.kind == "bridge":
                    users[nic.source][machine.name] = None
                if nic.device:
                    ends[nic.device] = machine.name
    for state in await host.containers.states() if host.containers is not None else ():
        try:
            container = await host.containers.find(state.ctid) if host.containers is not None else None
        except NoSuchMachine:
            continue  # it was deleted just now
        if container is not None and container.network.bridge:
            users[container.network.bridge][f"container {container.ctid}"] = None
    return {bridge: tuple(names) for bridge, names in users.items()}, ends
