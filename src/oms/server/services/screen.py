"""kvmservices: the screens of machines, at ports of OMS."""

from oms.contract.kvm import screen as api
from oms.contract.kvm.screen import VncConnection, VNCRemoveError
from oms.server.desk import Desk, Table
from oms.server.services.at_ports import AtPorts

handlers = Table()
SCREENS = AtPorts(
    kind="vnc",
    noun="screen",
    setting="vnc_ports",
    mine=api.VNCAreadySetUpError,
    anothers=api.VNCAreadySetUpAnotherSessionError,
    remote=api.VNCRemoteSetUpError,
    pool=api.VNCPoolSpotSetUpError,
    tunnel=api.VNCTunnelSetUpError,
    unchecked=api.VNCConnectionCheckError,
)


@handlers.handles(api.SetUpVncConnection)
async def set_up_vnc_connection(op: api.SetUpVncConnection, desk: Desk) -> str:
    """At a port of its own."""
    what = f"{op.kvm_vm_name} on {op.server_hostname}"
    with SCREENS.told(what, f"{what} open"):
        console = await desk.house.consoles.open(
            "vnc", await desk.session(), op.server_hostname, op.kvm_vm_name, at_port=True
        )
    return str(console.port)


@handlers.handles(api.RemoveVncConnection)
async def remove_vnc_connection(op: api.RemoveVncConnection, desk: Desk) -> str:
    """By the machine's name or UUID."""
    for console in await SCREENS.of(desk):
        if console.host.name == op.server_hostname and op.kvm_vm_name in (console.guest, console.uuid):
            await desk.house.consoles.remove(console)
            return str(console.port)
    raise VNCRemoveError(
        f"This session has set up no screen of {op.kvm_vm_name} on {op.server_hostname}: "
        "list_session_vnc_connections lists those that it has."
    )


@handlers.handles(api.RemoveSessionVncConnections)
async def remove_session_vnc_connections(op: api.RemoveSessionVncConnections, desk: Desk) -> int:
    """Also where there are none."""
    return await SCREENS.remove_all(desk)


@handlers.handles(api.ListSessionVncConnections)
async def list_session_vnc_connections(op: api.ListSessionVncConnections, desk: Desk) -> list[VncConnection]:
    """The oldest first."""
    return [VncConnection(c.host.name, c.port, c.guest) for c in await SCREENS.of(desk) if c.port is not None]


@handlers.handles(api.CheckSessionVncConnection)
async def check_session_vnc_connection(op: api.CheckSessionVncConnection, desk: Desk) -> str:
    """The host is asked, and the way to the screen is tried."""
    return await SCREENS.check(desk, op.port)
