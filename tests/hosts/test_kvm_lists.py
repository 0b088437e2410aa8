"""What KVMService tells of machines, from a real libvirtd."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import libvirt
import msgspec
import pytest

from oms.agent.guests import MachineState
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.kvm.handlers import list_vms, list_vms_status, parse_system_min_max, parse_vm_settings
from oms.contract import kvm
from oms.contract.errors import NoSuchMachine, NotSupported
from tests.hosts.kvm_job import host
from tests.hosts.kvm_machines import connected, disk_xml, pid_of, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd

HOSTILE = "<img src=x onerror=window.__pwn=1> & ]]> \"'"


async def test_the_states_of_machines_by_name(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    virt.defineXML(small_xml("off", memory_mb=64, vcpus="<vcpu current='1'>2</vcpu>"))
    virt.defineXML(small_xml("on")).create()
    paused = virt.defineXML(small_xml("paused"))
    paused.create()
    paused.suspend()
    virt.createXML(small_xml("transient"))
    found = await list_vms_status(kvm.ListVmsStatus(), host(machines, tmp_path))
    assert {name: status.state for name, status in found.items()} == {
        "off": "shutdown", "on": "running", "paused": "paused", "transient": "running"
    }  # fmt: skip
    assert found["off"] == kvm.MachineStatus(
        nrVirtCpu=1, state="shutdown", maxMem="65536", cpuTime="0", memory="65536"
    )
    assert int(found["on"].cpuTime) > 0
    assert (found["on"].maxMem, found["on"].memory, found["on"].nrVirtCpu) == ("32768", "32768", 1)


async def test_the_list_is_right_at_once_whoever_changed_what(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    """No event tells of some of these changes, so a list from memory would be wrong here."""
    here = host(machines, tmp_path)
    domain = virt.defineXML(small_xml("m", vcpus="<vcpu current='1'>4</vcpu>"))
    for number in range(60):
        vcpus, memory_kb = 1 + number % 4, 32768 + number * 1024
        if number % 2:
            virt.defineXML(
                small_xml("m", vcpus=f"<vcpu current='{vcpus}'>4</vcpu>").replace(
                    "<memory unit='MiB'>32</memory>", f"<memory>{memory_kb}</memory>"
                ).replace("<os>", f"<uuid>{domain.UUIDString()}</uuid><os>")
            )  # fmt: skip
        else:
            domain.setVcpusFlags(vcpus, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
            domain.setMemoryFlags(memory_kb, libvirt.VIR_DOMAIN_AFFECT_CONFIG | libvirt.VIR_DOMAIN_MEM_MAXIMUM)
            domain.setMemoryFlags(memory_kb, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        status = (await list_vms_status(kvm.ListVmsStatus(), here))["m"]
        assert (status.nrVirtCpu, status.maxMem, status.memory) == (vcpus, str(memory_kb), str(memory_kb))


async def test_machines_that_start_and_stop_are_in_every_list(
    virt: libvirt.virConnect, machines: LibvirtMachines
) -> None:
    """Several calls make one list; one that is between two states must not fall between them."""
    domains = [virt.defineXML(small_xml(f"m{number}")) for number in range(3)]

    def turn() -> None:
        for _ in range(2):
            for domain in domains:
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
            for domain in domains:
                domain.destroy()

    turning = asyncio.create_task(asyncio.to_thread(turn))
    lists: list[list[MachineState]] = []
    while not turning.done():
        lists.append(await machines.states())
    await turning
    assert len(lists) > 20
    assert {frozenset(machine.name for machine in states) for states in lists} == {frozenset({"m0", "m1", "m2"})}
    assert {machine.state for states in lists for machine in states} >= {"paused", "shutdown"}


async def test_a_hostile_name_is_listed_as_it_is_and_its_machine_answers_to_its_uuid(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    uuid = virt.defineXML(small_xml(HOSTILE)).UUIDString()
    here = host(machines, tmp_path)
    assert await list_vms(kvm.ListVms(), here) == [
        kvm.Machine(status=0, tags=[], stats=kvm.MachineStats(), name=HOSTILE, id=HOSTILE, uuid=uuid)
    ]
    assert (await parse_vm_settings(kvm.ParseVmSettings(uuid), here)).memory == "32"
    assert (await parse_vm_settings(kvm.ParseVmSettings(uuid.replace("-", "").upper()), here)).memory == "32"


async def test_a_name_that_looks_like_a_uuid_is_a_name_first(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    uuid = virt.defineXML(small_xml("first", memory_mb=32)).UUIDString()
    virt.defineXML(small_xml(uuid, memory_mb=64))
    assert (await parse_vm_settings(kvm.ParseVmSettings(uuid), host(machines, tmp_path))).memory == "64"


async def test_a_machine_that_is_not_there_is_named(machines: LibvirtMachines, tmp_path: Path) -> None:
    for name in ("nobody", "c0ffee00-0000-4000-8000-000000000000"):
        with pytest.raises(NoSuchMachine, match=f"no machine '{name}'.*list_vms") as caught:
            await parse_vm_settings(kvm.ParseVmSettings(name), host(machines, tmp_path))
        assert caught.value.data == {"machine": name}


async def test_a_host_without_a_hypervisor_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="runs no virtual machines"):
        await list_vms(kvm.ListVms(), host(None, tmp_path))


async def test_limits_are_those_of_the_host(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    legal = await parse_system_min_max(kvm.ParseSystemMinMax(), host(machines, tmp_path))
    assert (legal.min_vcpu, legal.max_vcpu, legal.min_memory) == ("1", str(os.cpu_count()), "32")
    total_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024**2
    assert 100 < int(legal.max_memory) <= total_mb
    virt.defineXML(small_xml("m", memory_mb=16, vcpus="<vcpu current='1'>3</vcpu>"))
    settings = await parse_vm_settings(kvm.ParseVmSettings("m"), host(machines, tmp_path))
    assert (settings.vcpu, settings.min_vcpu, settings.max_vcpu) == ("1", "1", legal.max_vcpu)
    assert (settings.memory, settings.min_memory) == ("16", "16")
    assert abs(int(settings.max_memory) - int(legal.max_memory)) < 1000


async def test_statistics_of_running_machines(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    disk, cd = tmp_path / "disk.img", tmp_path / "cd.iso"
    disk.write_bytes(b"x" * 512 * 1024)
    os.truncate(disk, 4 * 1024**2)
    cd.write_bytes(b"x" * 1024**2)
    devices = disk_xml(disk) + disk_xml(cd, "hda", "cdrom")
    virt.defineXML(small_xml("on", devices=devices)).create()
    virt.defineXML(small_xml("off"))
    asked = kvm.ListVms(("cpu", "memory", "df", "network", "uptime"))
    first = {machine.name: machine for machine in await list_vms(asked, host(machines, tmp_path))}
    assert first["off"].stats == kvm.MachineStats()
    assert first["on"].stats.cpu is msgspec.UNSET
    assert first["on"].stats.network is msgspec.UNSET  # it has none
    assert first["on"].stats.df == kvm.DiskStats(percentage="12.50", total="4096", used="512")
    memory = first["on"].stats.memory
    assert isinstance(memory, kvm.MemoryStats)
    assert memory.total == "32768"
    assert 1024 < int(memory.used) <= 32768
    await asyncio.sleep(1.1)
    second = {machine.name: machine for machine in await list_vms(asked, host(machines, tmp_path))}
    cpu = second["on"].stats.cpu
    assert isinstance(cpu, kvm.CpuStats)
    assert 0 <= float(cpu.percentage) <= 100
    only = {
        machine.name: machine for machine in await list_vms(kvm.ListVms(("memory",)), host(machines, tmp_path))
    }
    assert only["on"].stats.df is msgspec.UNSET
    assert only["on"].stats.memory is not msgspec.UNSET


@pytest.fixture
def bridge() -> Iterator[str]:
    name = "omstestbr0"
    if subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to make a bridge")
    yield name
    subprocess.run(["ip", "link", "delete", name], check=True)


async def test_the_first_interface_is_told_by_its_bridge_and_the_address_heard_there(
    virt: libvirt.virConnect, libvirtd: PrivateLibvirtd, bridge: str
) -> None:
    mac = "52:54:00:00:00:07"
    nic = f"<interface type='bridge'><mac address='{mac}'/><source bridge='{bridge}'/></interface>"
    domain = virt.defineXML(small_xml("on", devices=nic))
    domain.create()
    async with connected(libvirtd.uri, neighbours=lambda: {mac: "10.9.8.7"}) as machines:
        [use] = (await machines.use(frozenset({"network"}))).values()
        assert use.network is not None
        assert (use.network.name, use.network.address) == (bridge, "10.9.8.7")


async def test_a_machine_that_hangs_holds_up_no_list(
    virt: libvirt.virConnect, libvirtd: PrivateLibvirtd, tmp_path: Path
) -> None:
    for name in ("well", "hung"):
        virt.defineXML(small_xml(name)).create()
    hung = pid_of(virt.lookupByName("hung").UUIDString())
    os.kill(hung, signal.SIGSTOP)
    try:
        async with connected(libvirtd.uri, use_seconds=4.0) as machines:
            begun = time.monotonic()
            status = await list_vms_status(kvm.ListVmsStatus(), host(machines, tmp_path))
            assert time.monotonic() - begun < 3
            assert {machine.state for machine in status.values()} == {"running"}
            asked = kvm.ListVms(("memory", "cpu"))
            begun = time.monotonic()
            assert len(await list_vms(asked, host(machines, tmp_path))) == 2
            assert time.monotonic() - begun < 7
            # By now libvirt knows that one of them is busy, and the other's statistics are there at once.
            listed = {machine.name: machine.stats for machine in await list_vms(asked, host(machines, tmp_path))}
            assert listed["well"].memory is not msgspec.UNSET
    finally:
        os.kill(hung, signal.SIGCONT)
