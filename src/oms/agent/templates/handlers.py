"""KVMService's templates on this host: each method as the plain function that does it."""

import asyncio
import secrets
import uuid
from typing import Final

import msgspec

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests import Machine, Machines
from oms.agent.kvm import domain_xml
from oms.agent.kvm.conditions import check_name, machines_of, present
from oms.agent.templates import (
    conditions,
    deleting,
    deploying,
    devices,
    disk_settings,
    judging,
    new_machine,
    package,
    packing,
    packing_settings,
    preparing,
    proposal,
    unpacking,
)
from oms.agent.templates.judging import Choice
from oms.agent.templates.new_machine import Identity, Plan
from oms.agent.templates.proposal import Case
from oms.contract.handlers import Handlers
from oms.contract.kvm import templates

handlers: Handlers[Host] = Handlers()
PLAN: Final = "plan"


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


@handlers.handles(templates.DeployTemplateForVm)
async def deploy_template_for_vm(op: templates.DeployTemplateForVm, host: Host) -> templates.TemplateRefusals:
    """Judged once, then planned and written down; the steps are told in `deploying`."""
    machines, job = machines_of(host), host.job
    if (known := job.recall(PLAN)) is None:
        planned = await _planned(op, host, machines)
        if not isinstance(planned, Plan):
            return planned
        await job.record(PLAN, known := msgspec.to_builtins(planned))
    plan = msgspec.convert(known, Plan)
    for number, disk in enumerate(plan.disks, 1):
        job.note(f"disk {number}", disk.path)
    await deploying.deploy(plan, op.template_name, host, machines)
    return {}


@handlers.handles(templates.ParseVmForTemplate)
async def parse_vm_for_template(op: templates.ParseVmForTemplate, host: Host) -> templates.VmForTemplate:
    """The machine as it is now."""
    machine = await machines_of(host).find(op.kvm_vm_name)
    return await _for_template(machine, op.template_name, host)


@handlers.handles(templates.CreateTemplateFromVm)
async def create_template_from_vm(op: templates.CreateTemplateFromVm, host: Host) -> templates.TemplateRefusals:
    """Judged once; the steps are told in `packing`."""
    machines, job = machines_of(host), host.job
    machine = await machines.find(op.kvm_vm_name)
    if (known := job.recall(PLAN)) is None:
        shown = await _for_template(machine, op.template_name, host)
        choice = packing_settings.judged(op.vm_settings_dictionary, shown)
        if not isinstance(choice, packing_settings.Choice):
            return choice
        await job.record(PLAN, known := msgspec.to_builtins(choice))
    choice = msgspec.convert(known, packing_settings.Choice)
    await packing.pack(packing.Order(machine, op.template_name, choice), host, machines)
    return {}


@handlers.handles(templates.DeleteTemplate)
async def delete_template(op: templates.DeleteTemplate, host: Host) -> int:
    """What stands upon it is looked for last, right before it goes."""
    await deleting.delete(op.template_name, host)
    return 0


async def _for_template(machine: Machine, template: str, host: Host) -> templates.VmForTemplate:
    definition = present(machine)
    disks = await packing.sources(definition)
    return packing_settings.proposed(machine.name, definition, template, disks, host.storage.templates)


async def _planned(
    op: templates.DeployTemplateForVm, host: Host, machines: Machines
) -> Plan | templates.TemplateRefusals:
    """All that can be refused is refused here, before anything is made."""
    await check_name(op.kvm_name, machines, "kvm_name")
    settings, storage = op.template_settings_dictionary, host.storage
    async with package.opened(storage.templates, op.template_name) as opened:
        wanted = await devices.found(disk_settings.devices_in(settings), host)
        case = Case(op.template_name, op.kvm_name, opened.appliance, await conditions.now(host, machines, wanted))
        choice = judging.judged(settings, case)
        if not isinstance(choice, Choice):
            return choice
        return new_machine.plan(
            choice,
            opened.appliance,
            Identity(str(uuid.uuid4()), op.kvm_name, _macs(len(opened.appliance.nics))),
            key=opened.key,
            domain_type=machines.capabilities.domain_type,
            unpacked=unpacking.place_of(storage.templates, opened),
            images=storage.images,
        )


def _macs(count: int) -> tuple[str, ...]:
    return tuple(domain_xml.mac_address(secrets.token_bytes(3)) for _ in range(count))
