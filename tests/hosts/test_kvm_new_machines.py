"""libvirt takes the definitions of new machines, by its own schema, and starts them."""

import asyncio
import os
import signal

import libvirt
import pytest
from msgspec.structs import replace

from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.host.links import bridges
from oms.agent.kvm.domain_xml import NewMachine, domain_xml
from tests.agent.kvm.new_machines import BARE, HOSTILE, INSTALLING, MACHINES
from tests.hosts.kvm_machines import pid_of


@pytest.mark.parametrize(
    "machine",
    [machine for machine in MACHINES.values() if machine is not HOSTILE],
    ids=lambda machine: machine.name,
)
async def test_libvirt_takes_it_as_it_was_meant(
    virt: libvirt.virConnect, machines: LibvirtMachines, machine: NewMachine
) -> None:
    # libvirt asks whether the processor can, when a machine is defined; where tests run it may be unable to.
    machine = replace(machine, domain_type="qemu")
    assert await machines.define(domain_xml(machine)) == machine.uuid
    kept = (await machines.find(machine.name)).kept
    assert kept is not None
    assert (kept.vcpus, kept.memory_kb) == (machine.vcpus, machine.memory_mb * 1024)
    assert [disk.target for disk in kept.disks] == [drive.target for drive in machine.drives]
    assert [nic.mac for nic in kept.nics] == [nic.mac for nic in machine.nics]


@pytest.mark.parametrize("machine", [BARE, replace(INSTALLING, drives=(), nics=())], ids=["bare", "with a screen"])
async def test_qemu_starts_it(virt: libvirt.virConnect, machines: LibvirtMachines, machine: NewMachine) -> None:
    await machines.define(domain_xml(machine))
    await machines.start(machine.uuid)
    assert (await machines.find(machine.uuid)).state == "running"


async def test_a_machine_that_starts_and_stops_is_always_seen_as_of_one_moment(
    virt: libvirt.virConnect, machines: LibvirtMachines
) -> None:
    """Its two definitions differ in from what it starts: never is one taken for the other."""
    await machines.define(domain_xml(BARE))
    domain = virt.lookupByUUIDString(BARE.uuid)
    first_run = domain_xml(replace(BARE, boot=("cdrom",)))
    await machines.start_once(BARE.uuid, first_run)
    await machines.stop(BARE.uuid)

    def toggle() -> None:
        for _ in range(8):
            virt.createXML(first_run)
            domain.destroy()

    toggling = asyncio.create_task(asyncio.to_thread(toggle))
    seen = set()
    while not toggling.done():
        machine = await machines.find(BARE.uuid)
        assert machine.kept is not None
        seen.add((machine.kept.boot, machine.live and machine.live.boot, machine.ended))
    await toggling
    assert seen == {(("hd",), None, "destroyed"), (("hd",), ("cdrom",), "")}


async def test_how_a_machine_ended_is_known_until_it_starts_again(
    virt: libvirt.virConnect, machines: LibvirtMachines
) -> None:
    await machines.define(domain_xml(BARE))

    async def ended() -> str:
        return (await machines.find(BARE.uuid)).ended

    assert await ended() == ""
    await machines.start(BARE.uuid)
    assert await ended() == ""
    os.kill(pid_of(BARE.uuid), signal.SIGKILL)
    await _until_off(machines)
    assert await ended() == "crashed"
    await machines.start(BARE.uuid)
    await machines.stop(BARE.uuid)
    assert await ended() == "destroyed"


async def _until_off(machines: LibvirtMachines) -> None:
    async with asyncio.timeout(60):
        while (await machines.find(BARE.uuid)).live is not None:  # noqa: ASYNC110 - what it is asked is the test
            await asyncio.sleep(0.05)


async def test_networks_are_those_that_are_active(virt: libvirt.virConnect, machines: LibvirtMachines) -> None:
    assert await machines.networks() == frozenset()
    # Without an address of its own it is but a bridge, and needs no server beside.
    network = virt.networkCreateXML("<network><name>default</name><bridge name='oms-test-net'/></network>")
    try:
        assert await machines.networks() == {"default"}
        assert "oms-test-net" in bridges()
    finally:
        network.destroy()
    assert await machines.networks() == frozenset()
