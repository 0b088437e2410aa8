"""What OMS itself answers: one module for a service, gathered here."""

from oms.server.desk import Table
from oms.server.services import audit, auth, console, event, fleet, func, screen, ssh, tag, task, user


def table() -> Table:
    """All of them."""
    whole = Table()
    for module in (audit, auth, console, event, fleet, func, screen, ssh, tag, task, user):
        whole.include(module.handlers)
    return whole
