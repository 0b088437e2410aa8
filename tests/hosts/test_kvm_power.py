"""Starting and stopping real machines, also when they are already, and when the agent crashes in between."""

from pathlib import Path

import libvirt
import libvirt_qemu
import pytest

from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.kvm.handlers import start_vm, stop_vm
from oms.contract import kvm
from oms.contract.errors import FuncManError, NoSuchMachine
from tests.hosts.conftest import MakeDomain
from tests.hosts.kvm_job import Crash, RehearsedJob, crashy_host, host
from tests.hosts.kvm_machines import disk_xml, small_xml

START, STOP = kvm.StartVm("m"), kvm.StopVm("m")


async def test_a_machine_starts_and_stops_and_repeating_changes_nothing(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    here = host(machines, tmp_path)
    assert await stop_vm(STOP, here) == 0
    assert await start_vm(START, here) == 0
    number = domain.ID()
    assert await start_vm(START, here) == 0
    assert domain.ID() == number
    assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert await stop_vm(STOP, here) == 0
    assert await stop_vm(STOP, here) == 0
    assert domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF


async def test_start_lets_a_paused_machine_go_on(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    domain.create()
    number = domain.ID()
    domain.suspend()
    assert await start_vm(START, host(machines, tmp_path)) == 0
    assert (domain.state()[0], domain.ID()) == (libvirt.VIR_DOMAIN_RUNNING, number)


async def test_start_goes_on_from_a_saved_state(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    domain.create()
    domain.managedSave(0)
    assert domain.hasManagedSaveImage(0)
    assert await start_vm(START, host(machines, tmp_path)) == 0
    assert not domain.hasManagedSaveImage(0)
    assert domain.state() == [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_RESTORED]


async def test_what_libvirt_refuses_is_told_in_its_words(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.img"
    virt.defineXML(small_xml("m", devices=disk_xml(missing)))
    with pytest.raises(FuncManError, match=f"libvirt refused: .*{missing}") as caught:
        await start_vm(START, host(machines, tmp_path))
    assert type(caught.value) is FuncManError
    for call in (start_vm(kvm.StartVm("nobody"), host(machines, tmp_path)),
                 stop_vm(kvm.StopVm("nobody"), host(machines, tmp_path))):  # fmt: skip
        with pytest.raises(NoSuchMachine, match="no machine 'nobody'"):
            await call


async def test_a_crashed_machine_is_not_started_over_its_remains(
    make_domain: MakeDomain, machines: LibvirtMachines, tmp_path: Path
) -> None:
    """A guest that panics where its definition says to keep it: the state `crashed`, for real."""
    guest = make_domain("m", boot=False)
    xml = guest.domain.XMLDesc(0)
    xml = xml.replace("<on_crash>destroy</on_crash>", "<on_crash>preserve</on_crash>")
    guest.domain.connect().defineXML(xml.replace("<devices>", "<devices><panic model='isa'/>"))
    guest.domain.create()
    # What a guest's kernel does when it panics: a byte to the device's port. Here the monitor does.
    libvirt_qemu.qemuMonitorCommand(guest.domain, "o /b 0x505 1", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    guest.wait_for_state(libvirt.VIR_DOMAIN_CRASHED)
    states = {machine.name: machine.state for machine in await machines.states()}
    assert states["m"] == "crashed"
    with pytest.raises(FuncManError, match=r"crashed.*stop_vm"):
        await start_vm(START, host(machines, tmp_path))
    assert await stop_vm(STOP, host(machines, tmp_path)) == 0
    assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF


async def test_stopping_a_machine_that_is_not_kept_may_be_broken_off_anywhere(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    for point in range(1, 10):
        domain = virt.createXML(small_xml("m"))
        job = RehearsedJob(break_at=point)
        try:
            await stop_vm(STOP, crashy_host(machines, tmp_path, job))
        except Crash:
            assert await stop_vm(STOP, host(machines, tmp_path, RehearsedJob(job.records))) == 0
        with pytest.raises(libvirt.libvirtError):
            domain.state()
        if job.steps < point:
            break
    else:
        pytest.fail("it never came to its end")
    with pytest.raises(NoSuchMachine):
        await stop_vm(STOP, host(machines, tmp_path))


async def test_starting_may_be_broken_off_anywhere(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    steps = 0
    for point in (1, 2, 3):
        job = RehearsedJob(break_at=point)
        try:
            await start_vm(START, crashy_host(machines, tmp_path, job))
        except Crash:
            assert await start_vm(START, host(machines, tmp_path, RehearsedJob(job.records))) == 0
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        domain.destroy()
        steps = job.steps
    assert steps == 2  # so the last was not broken off any more
