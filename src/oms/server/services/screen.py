"""kvmservices: the screens of machines, at ports of OMS."""

from collections.abc import Iterator
from contextlib import contextmanager

from oms.contract.errors import OmsError
from oms.contract.kvm import screen as api
from oms.contract.kvm.screen import (
    VNCAreadySetUpAnotherSessionError,
    VNCAreadySetUpError,
    VncConnection,
    VNCConnectionCheckError,
    VNCPoolSpotSetUpError,
    VNCRemoteSetUpError,
    VNCRemoveError,
    VNCTunnelSetUpError,
)
from oms.server.consoles.console import Console
from oms.server.consoles.desk import AlreadyMine, Anothers, NoSpot
from oms.server.consoles.ways import NoTunnel, NoWay
from oms.server.desk import Desk, Table

handlers = Table()


@handlers.handles(api.SetUpVncConnection)
async def set_up_vnc_connection(op: api.SetUpVncConnection, desk: Desk) -> str:
    """At a port of its own."""
    with _told(f"{op.kvm_vm_name} on {op.server_hostname}"):
        console = await desk.house.consoles.open(
            "vnc", await desk.session(), op.server_hostname, op.kvm_vm_name, at_port=True
        )
    return str(console.port)


@handlers.handles(api.RemoveVncConnection)
async def remove_vnc_connection(op: api.RemoveVncConnection, desk: Desk) -> str:
    """By the machine's name or UUID."""
    for console in await _mine(desk):
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
    for console in await _mine(desk):
        await desk.house.consoles.remove(console)
    return 0


@handlers.handles(api.ListSessionVncConnections)
async def list_session_vnc_connections(op: api.ListSessionVncConnections, desk: Desk) -> list[VncConnection]:
    """The oldest first."""
    return [VncConnection(c.host.name, c.port, c.guest) for c in await _mine(desk) if c.port is not None]


@handlers.handles(api.CheckSessionVncConnection)
async def check_session_vnc_connection(op: api.CheckSessionVncConnection, desk: Desk) -> str:
    """The host is asked, and the way to the screen is tried."""
    for console in await _mine(desk):
        if console.port == op.port:
            try:
                await desk.house.consoles.check(console)
            except (NoWay, NoTunnel) as why:
                raise VNCConnectionCheckError(str(why), port=op.port) from why
            except OmsError as why:
                raise VNCConnectionCheckError(why.message, port=op.port) from why
            return "0"
    raise VNCConnectionCheckError(
        f"This session has no screen at port {op.port}: list_session_vnc_connections lists those that it has.",
        port=op.port,
    )


async def _mine(desk: Desk) -> list[Console]:
    return desk.house.consoles.of(await desk.session(), "vnc")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Every reason why a screen is not set up, under the name that the document has for it."""
    try:
        yield
    except AlreadyMine as why:
        port = why.console.port
        raise VNCAreadySetUpError(f"This session has {what} at port {port} already.", port=port) from why
    except Anothers as why:
        raise VNCAreadySetUpAnotherSessionError(
            f"{why.console.session.user} has {what} open in another session: it is free once that is closed."
        ) from why
    except NoSpot as why:
        raise VNCPoolSpotSetUpError(
            "All ports for screens are taken: close some, or give OMS more (its setting vnc_ports)."
        ) from why
    except NoTunnel as why:
        raise VNCTunnelSetUpError(str(why)) from why
    except NoWay as why:
        raise VNCRemoteSetUpError(str(why)) from why
    except OmsError as why:
        raise VNCRemoteSetUpError(why.message, **why.details()) from why
