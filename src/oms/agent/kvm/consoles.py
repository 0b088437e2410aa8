"""Where the consoles of this host's machines are. OMS comes for them by SSH, and asks each time anew: what a name
or a socket meant a minute ago may be another machine now."""

from oms.agent.context import Host
from oms.agent.kvm.conditions import machines_of
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
    """Of a machine that runs, or stands still."""
    machines = machines_of(host)
    machine = await machines.find(op.guest)
    if machine.live is None:
        raise MachineIsOff(f"Machine {machine.name!r} is off, so it has no console: start it first.")
    if not machine.live.serial:
        raise NotSupported(
            f"Machine {machine.name!r} has no text console: give it one with `<console type='pty'/>` in its "
            "definition, and start it anew."
        )
    return Terminal(machine.uuid, machine.name, machines.console(machine.uuid))
