"""What OMS asks of the passages of this host."""

from oms.agent.context import Host
from oms.contract import internal
from oms.contract.errors import NotSupported
from oms.contract.handlers import Handlers

handlers: Handlers[Host] = Handlers()


@handlers.handles(internal.WhereGate)
async def where_gate(op: internal.WhereGate, host: Host) -> internal.Gate:
    """Where a job of this host listens now."""
    if host.passages is None:
        raise NotSupported("This host's agent has no way to other hosts.")
    return host.passages.where(op.job)
