"""The block devices that a template's disks are to be written to, looked up before that is judged."""

from pathlib import Path

from oms.agent.context import Host
from oms.agent.host import block
from oms.agent.kvm import block_devices
from oms.agent.templates.proposal import Device
from oms.contract.errors import FuncManError


async def found(paths: set[str], host: Host) -> dict[str, Device]:
    """What these devices are, as far as they may be written to; why not, of the others."""
    return {path: await _found(path, host) for path in sorted(paths)}


async def _found(path: str, host: Host) -> Device:
    try:
        await block_devices.check(path, host)
        return Device(block.size_bytes(Path(path)))
    except FuncManError as error:
        return Device(0, error.message)
    except OSError as error:
        return Device(0, f"{path} cannot be used: {error.strerror}")
