"""OpenVZService's templates on this host: each method as the plain function that does it."""

import asyncio
import contextlib
from typing import Final

import msgspec

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.errands import Errand
from oms.agent.guests.containers import Containers
from oms.agent.ovz import taken
from oms.agent.ovz.conditions import containers_of
from oms.agent.rootfs import (
    catalogue,
    conditions,
    deleting,
    deploying,
    looking,
    packing,
    packing_settings,
    proposal,
    unpacked,
)
from oms.agent.rootfs.deploying import Plan
from oms.agent.rootfs.proposal import Choice
from oms.contract.errors import AlreadyThere, FuncManError
from oms.contract.handlers import Handlers
from oms.contract.ovz import Refusals, templates
from oms.contract.types import Secret

handlers: Handlers[Host] = Handlers()
PLAN: Final = "plan"
READERS_WAIT_SECONDS: Final = 45.0
"""So long a read waits for the first look at a template."""


@handlers.handles(templates.ListTemplates)
async def list_templates(_op: templates.ListTemplates, host: Host) -> list[str]:
    """By the names of files alone: whether an archive is any good is found when it is looked at."""
    containers_of(host)
    with placing.told(host.storage.rootfs):
        return await asyncio.to_thread(catalogue.names, host.storage.rootfs)


@handlers.handles(templates.ParseTemplateForVm)
async def parse_template_for_vm(
    op: templates.ParseTemplateForVm, host: Host
) -> templates.ContainerTemplateSettings:
    """What the archive holds decides how large the disk must be, so all of it is looked at, once."""
    containers = containers_of(host)
    async with catalogue.opened(host.storage.rootfs, op.template_name) as template:

        async def work(errand: Errand) -> None:
            async with (
                host.leases.hold(errand, shared=(deploying.lease(op.template_name),)),
                catalogue.opened(host.storage.rootfs, op.template_name) as again,
            ):
                await conditions.look(again, host, containers, lambda _share: None)
            with placing.told(containers.home):
                clones = await unpacked.can_clone(containers, containers.home)
            if clones:
                await deploying.unpack(op.template_name, host, containers, errand, lambda _share: None)

        await host.errands.run(f"look-{template.name}.{template.key}", work, READERS_WAIT_SECONDS)
        if not looking.note_of(host.storage.rootfs, template, containers.capabilities.ids).exists():
            raise FuncManError(
                f"Template {op.template_name!r} is large, and being looked at for the first time: ask again in a "
                "minute",
                template=op.template_name,
            )
        found = await conditions.look(template, host, containers, lambda _share: None)
        case = conditions.case(template, op.vm_name, found, await conditions.now(host, containers))
        return proposal.settings(case)


@handlers.handles(templates.DeployTemplateForVm)
async def deploy_template_for_vm(op: templates.DeployTemplateForVm, host: Host) -> Refusals:
    """Judged once, then planned and written down; the steps are told in `deploying`."""
    containers, job, given = containers_of(host), host.job, op.settings_dictionary
    async with contextlib.AsyncExitStack() as held:
        if (known := job.recall(PLAN)) is None:
            planned = await _planned(op, host, containers, held)
            if not isinstance(planned, Plan):
                return planned
            await job.record(PLAN, msgspec.to_builtins(planned))
        else:
            planned = msgspec.convert(known, Plan)
            await held.enter_async_context(Choice(planned.ctid, planned.settings).wish.held(host))
        job.note("vm_id", planned.ctid)
        password = str(given.get("passwd") or given.get("password") or "")
        await deploying.deploy(planned, op.template_name, Secret(password) if password else None, host, containers)
    return {}


@handlers.handles(templates.ParseVmForTemplate)
async def parse_vm_for_template(op: templates.ParseVmForTemplate, host: Host) -> templates.ContainerForTemplate:
    """As the container will start next."""
    return await _for_template(str(op.ct_id), op.template_name, containers_of(host))


@handlers.handles(templates.CreateTemplateFromVm)
async def create_template_from_vm(op: templates.CreateTemplateFromVm, host: Host) -> Refusals:
    """Judged once; the steps are told in `packing`."""
    containers, job = containers_of(host), host.job
    if (known := job.recall(PLAN)) is None:
        shown = await _for_template(str(op.ct_id), op.template_name, containers)
        choice = packing_settings.judged(op.settings_dictionary, shown)
        if not isinstance(choice, packing_settings.Choice):
            return choice
        await job.record(PLAN, known := msgspec.to_builtins(choice))
    choice = msgspec.convert(known, packing_settings.Choice)
    await packing.pack(packing.Order(str(op.ct_id), op.template_name, choice), host, containers)
    return {}


@handlers.handles(templates.DeleteTemplate)
async def delete_template(op: templates.DeleteTemplate, host: Host) -> int:
    """Containers made of it have files of their own."""
    await deleting.delete(op.template_name, host, containers_of(host))
    return 0


async def _for_template(ctid: str, template: str, containers: Containers) -> templates.ContainerForTemplate:
    container, capacity = await asyncio.gather(containers.find(ctid), containers.capacity())
    return packing_settings.proposed(container.ctid, container.settings, template, capacity.cpus)


async def _planned(
    op: templates.DeployTemplateForVm, host: Host, containers: Containers, held: contextlib.AsyncExitStack
) -> Plan | Refusals:
    """All that can be refused is refused here, before anything is made. The id is held from then on."""
    async with catalogue.opened(host.storage.rootfs, op.template_name) as template, host.job.cancellable():
        found = await conditions.look(
            template, host, containers, lambda share: host.job.progress(share * deploying.LOOKED)
        )
        while True:
            here = await conditions.now(host, containers)
            if called := here.taken.called(op.vm_name):
                who = here.taken.names[op.vm_name]
                raise AlreadyThere(f"{called}: choose another name", **({"container": who} if who else {}))
            choice = proposal.judged(op.settings_dictionary, conditions.case(template, op.vm_name, found, here))
            if not isinstance(choice, Choice):
                return choice
            async with contextlib.AsyncExitStack() as holding:
                if not await taken.take(choice.wish, host, containers, holding):
                    await held.enter_async_context(holding.pop_all())
                    return Plan(template.key, choice.ctid, choice.settings, host.offer.container_bridge)
