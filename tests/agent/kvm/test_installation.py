"""Two definitions of one machine, and what follows its first run."""

from typing import Any

import pytest

from oms.agent.guests import Capacity, Definition, End, Machine
from oms.agent.guests.libvirt.definition import definition
from oms.agent.kvm import installation
from oms.agent.kvm.fitting import fitting
from oms.agent.kvm.installation import Disk, Next, Plan
from oms.agent.kvm.network import Network
from oms.agent.kvm.osinfo import OperatingSystem
from oms.contract.errors import NoMemory, ParameterMismatch
from tests.agent.kvm.new_machines import asked

IMAGE = Disk("/images/m.qcow2", "file", "qcow2", 1024**3)
WINDOWS = OperatingSystem("http://x/xp", ("xp",), "Windows", "winnt", "5.1", frozenset(), 256, 2)
CAPACITY = Capacity(cpus=4, max_vcpus=16, available_memory_kb=1000 * 1024)


def planned(
    system: OperatingSystem | None = None, disk: Disk = IMAGE, network: Network | None = None, **changes: Any
) -> Plan:
    op = asked(**changes)
    fitted = fitting(system, op.os_type, "qemu", noapic=bool(op.noapic_on_off), noacpi=bool(op.noacpi_on_off))
    uuid = "0f0e0d0c-0b0a-4908-8706-050403020100"
    return installation.plan(
        op, fitted, disk, "/iso/cd.iso", network, uuid=uuid, mac="52:54:00:00:00:01", domain_type="qemu"
    )


def files_of(read: Definition) -> list[str]:
    return [str(disk.file or "") for disk in read.disks]


def test_it_first_starts_from_the_cd_and_then_from_its_disk_with_the_cd_ejected() -> None:
    plan = planned()
    first, kept = definition(installation.first_run_xml(plan)), definition(installation.kept_xml(plan))
    assert (first.boot, files_of(first)) == (("cdrom", "hd"), ["/images/m.qcow2", "/iso/cd.iso"])
    assert (kept.boot, files_of(kept)) == (("hd",), ["/images/m.qcow2", ""])
    assert [disk.target for disk in kept.disks] == ["vda", "hdc"]
    assert "<on_reboot>destroy<" in installation.first_run_xml(plan)
    assert "<on_reboot>restart<" in installation.kept_xml(plan)
    assert plan.machine.memory_mb == 64


def test_an_installer_that_restarts_twice_finds_its_cd_again() -> None:
    kept = definition(installation.kept_xml(planned(WINDOWS)))
    assert (kept.boot, files_of(kept)) == (("hd",), ["/images/m.qcow2", "/iso/cd.iso"])
    assert [disk.target for disk in kept.disks] == ["hda", "hdc"]


def test_a_block_device_is_a_raw_disk() -> None:
    plan = planned(disk=Disk("/dev/vg/m", "block", "raw"))
    assert '<driver name="qemu" type="raw"' in installation.kept_xml(plan)
    assert '<source dev="/dev/vg/m"' in installation.kept_xml(plan)


@pytest.mark.parametrize("network", [Network("bridge", "vmbr0"), Network("network", "default")])
def test_it_is_on_the_network_that_was_chosen(network: Network) -> None:
    (nic,) = definition(installation.kept_xml(planned(network=network))).nics
    assert (nic.source, nic.mac) == (network.name, "52:54:00:00:00:01")


def test_without_a_network_it_has_no_interface() -> None:
    assert definition(installation.kept_xml(planned())).nics == ()


def test_the_switches_are_any_text() -> None:
    assert "<acpi" in installation.kept_xml(planned())
    assert "<apic" in installation.kept_xml(planned())
    without = installation.first_run_xml(planned(noapic_on_off="yes", noacpi_on_off="0"))
    assert "<acpi" not in without
    assert "<apic" not in without
    assert 'machine="pc"' in without


def machine(*, boot: tuple[str, ...] | None = None, ended: End = "", saved: bool = False) -> Machine:
    live = Definition(1, 1, 1, 1, False, False, True, (), (), boot=boot) if boot is not None else None
    return Machine("u", "m", "running" if live else "shutdown", live, None, saved=saved, ended=ended)


@pytest.mark.parametrize(
    ("ended", "follows"),
    [("reboot", "start"), ("guest", "start"), ("", "start"), ("poweroff", "off"), ("destroyed", "stopped"),
     ("crashed", "crashed")],
)  # fmt: skip
def test_what_follows_is_told_by_how_the_first_run_ended(ended: End, follows: Next) -> None:
    assert installation.next_step(machine(ended=ended), same_boot=True) == follows
    # One that was saved before its host was restarted goes on after that, and its end is known.
    after_a_restart = follows if ended else "again"
    assert installation.next_step(machine(ended=ended), same_boot=False) == after_a_restart


@pytest.mark.parametrize("same_boot", [True, False])
def test_nothing_follows_where_it_runs_from_its_disk_already(same_boot: bool) -> None:
    assert installation.next_step(machine(boot=("hd",)), same_boot=same_boot) == "runs"


def test_the_first_run_is_known_by_where_it_started_from() -> None:
    assert installation.is_in_first_run(machine(boot=("cdrom", "hd")))
    assert not installation.is_in_first_run(machine(boot=("hd", "cdrom")))
    assert not installation.is_in_first_run(machine(boot=()))
    assert installation.is_in_first_run(machine(saved=True))
    assert not installation.is_in_first_run(machine(ended="guest"))


@pytest.mark.parametrize(("size", "size_gb"), [("10", 10), (10, 10), ("00001", 1), ("65536", 65536)])
def test_a_size_is_in_gb(size: str | int, size_gb: int) -> None:
    assert installation.disk_size_bytes(asked(file_based_disk_size=size)) == size_gb * 1024**3


@pytest.mark.parametrize("size", ["", "0", 0, "65537", "99999"])
def test_a_size_that_is_none_is_refused_by_name(size: str | int) -> None:
    with pytest.raises(ParameterMismatch, match="legal is 1 to 65536") as caught:
        installation.disk_size_bytes(asked(file_based_disk_size=size))
    assert caught.value.data == {"parameter": "file_based_disk_size"}


def test_memory_is_what_a_machine_needs_and_the_host_can_give() -> None:
    for memory_mb in ("32", 1000):
        installation.check_memory(asked(memory_size=memory_mb), CAPACITY)
    with pytest.raises(ParameterMismatch, match="has 32 MB at least") as low:
        installation.check_memory(asked(memory_size="31"), CAPACITY)
    assert low.value.data == {"parameter": "memory_size"}
    with pytest.raises(NoMemory, match="has 1000 MB of memory to give now, and 1001 MB were asked for") as high:
        installation.check_memory(asked(memory_size="1001"), CAPACITY)
    assert high.value.data == {"wanted_mb": 1001, "free_mb": 1000}


def test_a_system_that_asks_for_more_memory_gets_what_was_asked_and_a_note() -> None:
    assert installation.advice(None, 1) == {}
    assert installation.advice(WINDOWS, 256) == {"operating system": "Windows"}
    assert installation.advice(WINDOWS, 255)["memory"] == "Windows asks for 256 MB at least, and has 255 MB"
