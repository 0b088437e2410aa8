"""The definitions of new machines are exactly those that were thought about."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from oms.agent.guests.libvirt.definition import definition, parse
from oms.agent.kvm.domain_xml import NewMachine, domain_xml, mac_address, target
from tests import golden_file
from tests.agent.kvm.new_machines import BARE, HOSTILE, MACHINES
from tests.house.source import ROOT

GOLDEN = ROOT / "tests" / "golden" / "domain_xml"
each = pytest.mark.parametrize(("name", "machine"), MACHINES.items(), ids=list(MACHINES))


@each
def test_the_definition_is_the_golden_one(name: str, machine: NewMachine) -> None:
    golden_file.check(GOLDEN / f"{name}.xml", domain_xml(machine))


def test_there_is_no_golden_file_of_a_machine_that_is_not_tested() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(MACHINES)


@each
def test_what_is_read_back_is_what_was_meant(name: str, machine: NewMachine) -> None:
    read = definition(domain_xml(machine))
    assert (read.vcpus, read.memory_kb, read.balloon) == (machine.vcpus, machine.memory_mb * 1024, machine.balloon)
    assert [disk.target for disk in read.disks] == [drive.target for drive in machine.drives]
    files = [Path(drive.source) if drive.kind == "file" and drive.source else None for drive in machine.drives]
    assert [disk.file for disk in read.disks] == files
    assert [(nic.source, nic.mac) for nic in read.nics] == [(nic.source, nic.mac) for nic in machine.nics]


def test_no_value_becomes_markup() -> None:
    root = parse(domain_xml(HOSTILE))
    assert root.findtext("name") == HOSTILE.name
    assert [source.attrib for source in root.iter("source")] == [
        {"file": HOSTILE.drives[0].source},
        {"bridge": HOSTILE.nics[0].source},
    ]


def test_a_machine_can_have_the_firmware_of_today() -> None:
    assert '<os firmware="efi">' in domain_xml(replace(BARE, firmware="efi"))


def test_drives_are_named_by_their_bus_and_place() -> None:
    assert [target("virtio", number) for number in (0, 1, 25, 26, 27, 702)] == [
        "vda", "vdb", "vdz", "vdaa", "vdab", "vdaaa",
    ]  # fmt: skip
    assert (target("ide", 2), target("sata", 0), target("scsi", 3)) == ("hdc", "sda", "sdd")


def test_a_mac_address_is_one_of_qemus() -> None:
    assert mac_address(b"\x00\xff\x0a") == "52:54:00:00:ff:0a"
