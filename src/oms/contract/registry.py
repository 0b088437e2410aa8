"""The list of all that is published: what is not here cannot be called."""

from types import ModuleType
from typing import Any

from oms.contract import (
    audit,
    auth,
    console,
    event,
    fleet,
    func,
    internal,
    iso,
    kvm,
    kvmplusovz,
    lvm,
    netinterface,
    ovz,
    ssh,
    stats,
    tag,
    task,
    user,
)
from oms.contract.kvm import (
    arrivals,
    description,
    devices,
    images,
    install,
    migration,
    power,
    screen,
    snapshots,
    templates,
)
from oms.contract.operation import Operation, Service
from oms.contract.ovz import arrivals as ovz_arrivals
from oms.contract.ovz import description as ovz_description
from oms.contract.ovz import migration as ovz_migration
from oms.contract.ovz import power as ovz_power
from oms.contract.ovz import templates as ovz_templates

Methods = dict[str, type[Operation[Any]]]

MODULES: tuple[ModuleType, ...] = (
    auth, func, kvm, description, devices, images, install, power, snapshots, templates, arrivals, screen,
    migration,
    kvmplusovz, ovz_migration,
    ovz, ovz_description, ovz_power, ovz_templates, ovz_arrivals,
    ssh, console, iso, lvm, netinterface, stats, tag, task, user,
    fleet,
    audit, event,
)  # fmt: skip


def _methods(module: ModuleType) -> Methods:
    found: Methods = {}
    for thing in vars(module).values():
        if isinstance(thing, type) and issubclass(thing, Operation) and "facts" in vars(thing):
            for name in (thing.facts.name, *thing.facts.aliases):
                found[name] = thing
    return found


def _services() -> dict[Service, Methods]:
    found: dict[Service, Methods] = {}
    for module in MODULES:
        methods = _methods(module)
        service = next(iter(methods.values())).facts.service
        found.setdefault(service, {}).update(methods)
    return found


SERVICES: dict[Service, Methods] = _services()
"""Each service with its methods by name, aliases included. One service may be told in several modules."""

OPERATIONS: tuple[type[Operation[Any]], ...] = tuple(
    dict.fromkeys(op for methods in SERVICES.values() for op in methods.values())
)
"""Every published operation, once."""

BY_NAME: dict[str, Methods] = {
    name: methods for service, methods in SERVICES.items() for name in (service.name, *service.aliases)
}
"""Service name or alias -> method name or alias -> operation."""

BY_WIRE: dict[str, type[Operation[Any]]] = {op.facts.wire: op for op in OPERATIONS}
"""`service.method`, by main names only."""

OF_JOBS: dict[str, type[Operation[Any]]] = BY_WIRE | {op.facts.wire: op for op in internal.JOBS}
"""The same with what is never called from outside, and yet is a job."""
