"""Where the consoles of this host's guests are. OMS comes for them by SSH, and asks each time anew: what a name
or a socket meant a minute ago may be another machine now."""

import asyncio

from oms.agent.context import Host
from oms.agent.kvm.conditions import machines_of
from oms.agent.ovz.conditions import check_on, containers_of
from oms.contract import internal
from oms.contract.errors import MachineIsOff, NotSupported
from oms.contract.handlers import Handlers
from oms.contract.internal import Screen, Terminal

handlers: Handlers[Host] = Handlers()


@handlers.handles(internal.FindScreen)
async def find_screen(op: internal.FindScreen, host: Host) -> Screen:
    """Of a machine that runs, or stands still."""
    machine = await machines_of(host).find(op.guest)
    if machine.live is None:
        raise MachineIsOff(f"Machine {machine.name!r} is off, so it has no screen: start it first.")
    vnc = machine.live.vnc
    if vnc is None:
        kinds = ", ".join(machine.live.graphics) or "none at all"
        raise NotSupported(
            f"Machine {machine.name!r} has no screen by VNC ({kinds}): give it one with "
            "`<graphics type='vnc'/>` in its definition, and start it anew."
        )
    return Screen(machine.uuid, machine.name, socket=str(vnc.socket or ""), port=vnc.port)


@handlers.handles(internal.FindTerminal)
async def find_terminal(op: internal.FindTerminal, host: Host) -> Terminal:
    """Of a guest that runs, or stands still."""
    return await (_of_container if op.kind == "openvz" else _of_machine)(op.guest, host)


async def _of_machine(guest: str, host: Host) -> Terminal:
    machines = machines_of(host)
    machine = await machines.find(guest)
    if machine.live is None:
        raise MachineIsOff(f"Machine {machine.name!r} is off, so it has no console: start it first.")
    if not machine.live.serial:
        raise NotSupported(
            f"Machine {machine.name!r} has no text console: give it one with `<console type='pty'/>` in its "
            "definition, and start it anew."
        )
    return Terminal(machine.uuid, machine.name, machines.console(machine.uuid))


async def _of_container(guest: str, host: Host) -> Terminal:
    containers = containers_of(host)
    container = await containers.find(guest)
    check_on(container)
    # Ids are given anew to other containers; a root file system is not.
    inode = 0 if container.rootfs is None else (await asyncio.to_thread(container.rootfs.stat)).st_ino
    return Terminal(f"{container.ctid}-{inode}", container.ctid, await containers.console(container.ctid))
