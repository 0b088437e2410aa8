"""The block devices that OMS may write to and give to machines: its own logical volumes, and what the
administrator named in the agent's settings. Nothing else of the host is ever touched.
"""

import asyncio
from pathlib import Path

from oms.agent.context import Host
from oms.agent.host import block, files
from oms.agent.images import use
from oms.agent.lvm import handlers as lvm
from oms.contract.errors import InUse


def lease(path: str) -> str:
    """The name under which a device is held; that of a volume is LVMService's."""
    _dev, *names = path.strip("/").split("/")
    return lvm.lease(names[0], names[1]) if len(names) == 2 else f"device{path}"


async def check(path: str, host: Host) -> None:
    """See that a device may be overwritten now, and make it ready for that; hold its lease first.

    Raises NotThere, InUse, NotSupported, FuncManError.
    """
    if path not in host.offer.block_devices:
        await lvm.writable(path, host)
        return
    await asyncio.to_thread(block.check_unused, Path(path))
    number = files.device(Path(path))
    for machine in await host.machines.all() if host.machines else ():
        if number in map(files.device, use.sources(machine)):
            raise InUse(f"{path} is the disk of machine {machine.name!r}", machines=[machine.name])
