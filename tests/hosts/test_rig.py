"""The rig itself: what every test with real parts relies on."""

import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import libvirt

from tests.hosts.conftest import MakeDomain
from tests.hosts.guest_image import DOWN_MARKER, UP_MARKER
from tests.hosts.guests import domain_xml
from tests.hosts.libvirtd import PrivateLibvirtd


def names(daemon: PrivateLibvirtd) -> list[str]:
    with closing(daemon.connect()) as connection:
        return [domain.name() for domain in connection.listAllDomains()]


def test_a_guest_boots_with_what_it_was_given_and_heeds_its_power_button(
    make_domain: MakeDomain, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "16M"], check=True)
    guest = make_domain("boots", memory_mb=128, vcpu=2, disk=disk)
    up = guest.start_and_wait()
    said = dict(pair.split("=") for pair in up.removeprefix(UP_MARKER).split())
    assert said["cpus"] == "2"
    assert said["disks"] == "vda,"
    assert 64 * 1024 < int(said["memory_kib"]) < 128 * 1024  # the kernel keeps some for itself

    guest.domain.shutdown()
    guest.wait_for(DOWN_MARKER)
    guest.wait_for_state(libvirt.VIR_DOMAIN_SHUTOFF)


def test_two_libvirtds_do_not_see_each_others_domains(
    make_domain: MakeDomain, libvirtd: PrivateLibvirtd, make_libvirtd: Callable[[], PrivateLibvirtd]
) -> None:
    make_domain("here", boot=False)
    other = make_libvirtd()
    assert "here" in names(libvirtd)
    assert names(other) == []


def test_guests_outlive_a_killed_libvirtd_and_are_found_again(
    make_libvirtd: Callable[[], PrivateLibvirtd], tmp_path: Path
) -> None:
    daemon = make_libvirtd()
    before = daemon.pid
    xml = domain_xml("survivor", memory_mb=32, vcpu=1, console=tmp_path / "console", disk=None, image=None)
    with closing(daemon.connect()) as connection:
        connection.createXML(xml)

    daemon.kill()
    dead = daemon.pid
    daemon.start()
    after = daemon.pid
    assert before is not None
    assert dead is None
    assert after not in {before, None}
    with closing(daemon.connect()) as connection:
        survivor = connection.lookupByName("survivor")
        survivor.suspend()  # the guest itself has to answer to this
        assert survivor.state()[0] == libvirt.VIR_DOMAIN_PAUSED
