"""KVMService's templates on this host: each method as the plain function that does it."""

import asyncio

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.kvm.conditions import machines_of
from oms.agent.templates import conditions, package, preparing, proposal
from oms.agent.templates.proposal import Case
from oms.contract.handlers import Handlers
from oms.contract.kvm import templates

handlers: Handlers[Host] = Handlers()


@handlers.handles(templates.ListTemplates)
async def list_templates(_op: templates.ListTemplates, host: Host) -> list[str]:
    """By the names of files alone: whether a package is any good is found when it is looked at."""
    with placing.told(host.storage.templates):
        return await asyncio.to_thread(package.names, host.storage.templates)


@handlers.handles(templates.ParseTemplateForVm)
async def parse_template_for_vm(op: templates.ParseTemplateForVm, host: Host) -> templates.TemplateSettings:
    """All that is asked for stands in the package itself; unpacking it only saves time later."""
    machines = machines_of(host)
    async with package.opened(host.storage.templates, op.template_name) as opened:
        await preparing.ahead(host, opened)
        here = await conditions.now(host, machines)
        return proposal.settings(Case(op.template_name, op.kvm_vm_name, opened.appliance, here))
