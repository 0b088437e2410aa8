"""NetInterfaceService on this host. What may be done stands in `routes` and `bridges`, how in `applying`."""

from oms.agent.context import Host
from oms.agent.netinterface import bridges, routes, shown
from oms.agent.netinterface.applying import apply, side_of, view_of
from oms.agent.netinterface.view import View, link_of
from oms.contract import netinterface as api
from oms.contract.errors import HypervisorUnavailable
from oms.contract.handlers import Handlers

handlers: Handlers[Host] = Handlers()


@handlers.handles(api.ShowRoutingTable)
async def show_routing_table(_op: api.ShowRoutingTable, host: Host) -> list[api.Route]:
    """As the kernel has it."""
    return shown.table(await side_of(host).kernel.look())


@handlers.handles(api.AddStaticRoute)
async def add_static_route(op: api.AddStaticRoute, host: Host) -> int:
    """See `routes.add`."""
    return await apply(host, lambda view: routes.add(op, view), with_guests=False)


@handlers.handles(api.EditStaticRoute)
async def edit_static_route(op: api.EditStaticRoute, host: Host) -> int:
    """See `routes.edit`."""
    return await apply(host, lambda view: routes.edit(op, view), with_guests=False)


@handlers.handles(api.DeleteStaticRoute)
async def delete_static_route(op: api.DeleteStaticRoute, host: Host) -> int:
    """See `routes.delete`."""
    return await apply(host, lambda view: routes.delete(op, view), with_guests=False)


@handlers.handles(api.EditStaticGateway)
async def edit_static_gateway(op: api.EditStaticGateway, host: Host) -> int:
    """See `routes.edit_gateway`."""
    return await apply(host, lambda view: routes.edit_gateway(op, view), with_guests=False)


@handlers.handles(api.GetDefaultGateway)
async def get_default_gateway(op: api.GetDefaultGateway, host: Host) -> str:
    """Of an interface that is there."""
    network = await side_of(host).kernel.look()
    return shown.gateway(network, link_of(View(network), op.interface).name)


@handlers.handles(api.ListBridges)
async def list_bridges(_op: api.ListBridges, host: Host) -> list[api.Bridge]:
    """As the kernel has them."""
    return shown.bridges(await side_of(host).kernel.look())


@handlers.handles(api.ListInterfaces)
async def list_interfaces(_op: api.ListInterfaces, host: Host) -> list[api.HostInterface]:
    """As the kernel, the machines and the host's files have them; without the machines where those cannot be
    asked."""
    try:
        view = await view_of(host)
    except HypervisorUnavailable:
        view = await view_of(host, with_guests=False)
    return shown.interfaces(view)


@handlers.handles(api.AddBridge)
async def add_bridge(op: api.AddBridge, host: Host) -> int:
    """See `bridges.add`."""
    return await apply(host, lambda view: bridges.add(op, view))


@handlers.handles(api.AddBridgeMember)
async def add_bridge_member(op: api.AddBridgeMember, host: Host) -> int:
    """See `bridges.add_member`."""
    return await apply(host, lambda view: bridges.add_member(op, view))


@handlers.handles(api.DeleteBridgeMember)
async def delete_bridge_member(op: api.DeleteBridgeMember, host: Host) -> int:
    """See `bridges.delete_member`."""
    return await apply(host, lambda view: bridges.delete_member(op, view))


@handlers.handles(api.DeleteBridge)
async def delete_bridge(op: api.DeleteBridge, host: Host) -> int:
    """See `bridges.delete`."""
    return await apply(host, lambda view: bridges.delete(op, view))


@handlers.handles(api.EditBridge)
async def edit_bridge(op: api.EditBridge, host: Host) -> int:
    """See `bridges.edit`."""
    return await apply(host, lambda view: bridges.edit(op, view))
