"""Settings of real machines: refused together with nothing done, or accepted and in force where they can be."""

import os
import signal
from pathlib import Path
from typing import Any, cast

import libvirt
import pytest

from oms.agent.guests import Capacity, Machines
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.kvm import settings
from oms.agent.kvm.handlers import parse_vm_settings, update_vm_settings
from oms.contract import kvm
from oms.contract.errors import FuncManError, GuestDidNotReact, NoSuchMachine
from tests.hosts.conftest import MakeDomain
from tests.hosts.kvm_job import Crash, RehearsedJob, crashy_host, host
from tests.hosts.kvm_machines import connected, pid_of, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd

INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE
NOW = "changed now"


def update(**settings: str | int) -> kvm.UpdateVmSettings:
    return kvm.UpdateVmSettings("m", settings)


async def notes_of(op: kvm.UpdateVmSettings, machines: LibvirtMachines, images: Path) -> dict[str, str]:
    """The notes of an update that must be accepted."""
    job = RehearsedJob()
    assert await update_vm_settings(op, host(machines, images, job)) == {}
    return job.notes


async def test_a_machine_that_is_off_has_its_new_settings_at_once(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    virt.defineXML(small_xml("m"))
    assert await notes_of(update(vcpu="2", memory=64), machines, tmp_path) == {"memory": NOW, "vcpu": NOW}
    shown = await parse_vm_settings(kvm.ParseVmSettings("m"), host(machines, tmp_path))
    assert (shown.vcpu, shown.memory) == ("2", "64")


async def test_one_refused_setting_refuses_all_and_nothing_is_changed(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    before = domain.XMLDesc(0)
    refused = await update_vm_settings(update(memory="64", vcpu="99", colour="red"), host(machines, tmp_path))
    assert refused.keys() == {"vcpu", "colour"}
    assert refused["vcpu"].startswith("CPU count must be between 1 and ")
    assert domain.XMLDesc(0) == before
    assert await update_vm_settings(update(), host(machines, tmp_path)) == {}
    assert domain.XMLDesc(0) == before
    with pytest.raises(NoSuchMachine):
        await update_vm_settings(kvm.UpdateVmSettings("nobody", {"memory": 64}), host(machines, tmp_path))


async def test_what_libvirt_refuses_is_an_error_and_nothing_is_changed(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    """Memory and CPUs go in one definition: this one libvirt refuses because of the CPUs alone."""
    domain = virt.defineXML(small_xml("m"))
    before = domain.XMLDesc(0)
    with pytest.raises(FuncManError, match="libvirt refused"):
        # No host has so many, and the rules would refuse it: straight to the port.
        await machines.redefine(domain.UUIDString(), vcpus=100_000, memory_kb=65536)
    assert domain.XMLDesc(0) == before


async def test_passwords_in_a_definition_survive(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m", devices="<graphics type='vnc' port='-1' passwd='geheim'/>"))
    await notes_of(update(memory=64), machines, tmp_path)
    assert "passwd='geheim'" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)


async def test_a_booted_guest_gives_memory_back_while_it_runs(
    make_domain: MakeDomain, machines: LibvirtMachines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = make_domain("m", memory_mb=192)
    monkeypatch.setattr(settings, "FOLLOW_SECONDS", 40)
    guest.start_and_wait()
    for memory_mb in (128, 160):
        assert await notes_of(update(memory=memory_mb), machines, tmp_path) == {"memory": NOW}
        assert guest.domain.info()[2] == memory_mb * 1024
    notes = await notes_of(update(memory="256"), machines, tmp_path)
    assert notes == {"memory": "changed at the next start, because it was started with at most 192 MB"}
    assert guest.domain.info()[2] == 160 * 1024
    shown = await parse_vm_settings(kvm.ParseVmSettings("m"), host(machines, tmp_path))
    assert shown.memory == "256"


async def test_what_a_guest_did_not_follow_is_said(
    virt: libvirt.virConnect, libvirtd: PrivateLibvirtd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a system no balloon driver runs. A process that hangs takes nothing, and is waited for a moment."""
    domain = virt.defineXML(small_xml("m", memory_mb=64))
    domain.create()
    async with connected(libvirtd.uri, soon_seconds=40) as machines:
        monkeypatch.setattr(settings, "FOLLOW_SECONDS", 0)
        lags = "its guest was asked to follow now, and has 64 MB still"
        assert await notes_of(update(memory=48), machines, tmp_path) == {
            "memory": f"changed at the next start; {lags}"
        }
        assert domain.info()[2] == 64 * 1024
    process = pid_of(domain.UUIDString())
    async with connected(libvirtd.uri, soon_seconds=0.2) as machines:
        os.kill(process, signal.SIGSTOP)
        try:
            for why in (
                "its process did not take it within 0.2 s",
                "its process is still busy with the change before",
            ):
                assert await notes_of(update(memory=40), machines, tmp_path) == {
                    "memory": f"changed at the next start; whether before that is not known: {why}"
                }
        finally:
            os.kill(process, signal.SIGCONT)
        shown = await parse_vm_settings(kvm.ParseVmSettings("m"), host(machines, tmp_path))
        assert shown.memory == "40"


async def test_a_machine_that_is_not_kept_and_takes_nothing_is_an_error(
    virt: libvirt.virConnect, libvirtd: PrivateLibvirtd, tmp_path: Path
) -> None:
    domain = virt.createXML(small_xml("m", memory_mb=64))
    process = pid_of(domain.UUIDString())
    async with connected(libvirtd.uri, soon_seconds=0.2) as machines:
        os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(
                GuestDidNotReact, match="machine 'm' follows is not known, because its process did not take"
            ):
                await update_vm_settings(update(memory=48), host(machines, tmp_path))
        finally:
            os.kill(process, signal.SIGCONT)


async def test_cpus_are_added_while_it_runs_and_taken_away_at_the_next_start(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m", vcpus="<vcpu current='1'>2</vcpu>"))
    domain.create()
    assert await notes_of(update(vcpu=2), machines, tmp_path) == {"vcpu": NOW}
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_LIVE) == 2
    notes = await notes_of(update(vcpu=1), machines, tmp_path)
    assert notes == {"vcpu": "changed at the next start, because CPUs cannot be taken from a running machine"}
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_LIVE) == 2
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_CONFIG) == 1


async def test_more_cpus_than_it_was_started_with_wait_for_the_next_start(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    domain.create()
    notes = await notes_of(update(vcpu=2), machines, tmp_path)
    assert notes == {"vcpu": "changed at the next start, because it was started with at most 1 CPUs"}
    domain.destroy()
    domain.create()
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_LIVE) == 2


async def test_a_machine_that_is_not_kept_takes_only_what_it_can_take_now(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.createXML(small_xml("m", vcpus="<vcpu current='1'>2</vcpu>"))
    refused = await update_vm_settings(update(memory=64, vcpu=2), host(machines, tmp_path))
    assert refused.keys() == {"memory"}
    assert "at most 32 MB" in refused["memory"]
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_LIVE) == 1
    assert await notes_of(update(vcpu=2), machines, tmp_path) == {"vcpu": NOW}
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_LIVE) == 2


async def test_an_update_may_be_broken_off_anywhere_and_is_finished_by_the_next_run(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "FOLLOW_SECONDS", 0)
    op = update(vcpu=2, memory=48)
    for point in range(1, 20):
        domain = virt.defineXML(small_xml("m", memory_mb=64, vcpus="<vcpu current='1'>2</vcpu>"))
        domain.create()
        job = RehearsedJob(break_at=point)
        try:
            assert await update_vm_settings(op, crashy_host(machines, tmp_path, job)) == {}
        except Crash:
            job = RehearsedJob(job.records)
            assert await update_vm_settings(op, host(machines, tmp_path, job)) == {}
        assert job.notes["vcpu"] == NOW
        assert "has 64 MB still" in job.notes["memory"]
        assert domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_LIVE) == 2
        assert domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_CONFIG) == 2
        shown = await parse_vm_settings(kvm.ParseVmSettings("m"), host(machines, tmp_path))
        assert (shown.vcpu, shown.memory) == ("2", "48")
        domain.destroy()
        domain.undefine()
        if job.steps < point and not job.resumed:
            break
    assert point == 2 + 3 * 2 + 1  # one record, three changes, and the last that breaks nothing


class Poorer:
    """The given machines, on a host that has hardly anything left to give."""

    def __init__(self, machines: LibvirtMachines) -> None:
        self._machines = machines

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machines, name)

    async def capacity(self) -> Capacity:
        return Capacity(cpus=1, max_vcpus=1, available_memory_kb=0)


async def test_what_was_accepted_once_is_not_judged_again_when_the_job_goes_on(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    virt.defineXML(small_xml("m"))
    op = update(vcpu=2, memory=64)
    poorer = cast("Machines", Poorer(machines))
    job = RehearsedJob(break_at=2)  # accepted, and written down, and nothing else
    with pytest.raises(Crash):
        await update_vm_settings(op, host(machines, tmp_path, job))
    assert (await update_vm_settings(op, host(poorer, tmp_path))).keys() == {"vcpu", "memory"}
    assert await update_vm_settings(op, host(poorer, tmp_path, RehearsedJob(job.records))) == {}
    shown = await parse_vm_settings(kvm.ParseVmSettings("m"), host(machines, tmp_path))
    assert (shown.vcpu, shown.memory) == ("2", "64")
