"""New machines have the hardware that their systems can drive."""

import pytest

from oms.agent.guests import DomainType
from oms.agent.kvm.fitting import Fitting, fitting
from oms.agent.kvm.osinfo import OperatingSystem
from oms.contract.kvm.install import OsType

PCI = "http://pcisig.com/pci"


def system(family: str, version: str = "", *devices: str, reboots: int = 1) -> OperatingSystem:
    found = frozenset(f"{PCI}/{device}" for device in devices)
    return OperatingSystem("http://x/1", ("x",), "X", family, version, found, 0, reboots)


def fit(
    known: OperatingSystem | None = None,
    os_type: OsType = "",
    domain_type: DomainType = "kvm",
    *,
    noapic: bool = False,
    noacpi: bool = False,
) -> Fitting:
    return fitting(known, os_type, domain_type, noapic=noapic, noacpi=noacpi)


def test_a_linux_that_brings_the_drivers_gets_paravirtual_devices() -> None:
    found = fit(system("linux", "11", "1af4/1042", "1af4/1041", "8086/100e"))
    assert (found.disk_bus, found.nic, found.clock) == ("virtio", "virtio", "utc")
    assert (found.video, found.hyperv, found.keeps_cd) == ("vga", False, False)
    assert found.os_id == "http://x/1"


def test_a_linux_without_them_gets_what_it_has_always_had() -> None:
    found = fit(system("linux", "3", "10ec/8139"))
    assert (found.disk_bus, found.nic) == ("ide", "rtl8139")
    assert fit(system("linux", "2")).nic == "e1000"


def test_drivers_for_disk_and_network_are_looked_at_each_by_itself() -> None:
    found = fit(system("freebsd", "8", "1af4/1001", "8086/100e"))
    assert (found.disk_bus, found.nic) == ("virtio", "e1000")


def test_windows_has_the_clock_of_its_place_and_goes_on_from_its_cd() -> None:
    found = fit(system("winnt", "10.0", "8086/100e"))
    assert (found.disk_bus, found.nic, found.clock) == ("ide", "e1000", "localtime")
    assert (found.hyperv, found.video, found.virtual_devices, found.keeps_cd) == (True, "vga", True, True)
    assert not fit(system("winnt", "10.0"), domain_type="qemu").hyperv


@pytest.mark.parametrize(("family", "version"), [("winnt", "5.1"), ("win9x", "4.10"), ("msdos", "6.22")])
def test_an_old_windows_gets_a_screen_that_it_can_drive_and_nothing_that_it_cannot(
    family: str, version: str
) -> None:
    found = fit(system(family, version))
    assert (found.video, found.virtual_devices, found.hyperv) == ("cirrus", False, False)


def test_any_other_installer_that_restarts_twice_keeps_its_cd() -> None:
    assert fit(system("linux", "1", reboots=2)).keeps_cd


@pytest.mark.parametrize(
    ("os_type", "disk", "nic", "clock"),
    [
        ("linux", "virtio", "virtio", "utc"),
        ("windows", "ide", "e1000", "localtime"),
        ("unix", "ide", "e1000", "utc"),
        ("", "ide", "e1000", "utc"),
    ],
)
def test_without_a_known_system_its_type_decides(os_type: OsType, disk: str, nic: str, clock: str) -> None:
    found = fit(os_type=os_type)
    assert (found.disk_bus, found.nic, found.clock, found.os_id) == (disk, nic, clock, "")


def test_a_known_system_goes_before_the_type() -> None:
    assert fit(system("linux", "11", "1af4/1042"), "windows").clock == "utc"


def test_the_switches_take_away_what_they_name() -> None:
    assert (fit().apic, fit().acpi) == (True, True)
    assert (fit(noapic=True).apic, fit(noapic=True).acpi) == (False, True)
    assert (fit(noacpi=True).apic, fit(noacpi=True).acpi) == (True, False)
    assert fit(noacpi=True).chipset == "pc"  # on the newer board it would have no effect
