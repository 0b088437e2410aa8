"""What happens to machines is told, whoever did it."""

import asyncio
import os
from pathlib import Path

import pytest

from oms.agent.guests import Change
from oms.agent.guests.probe import Probe, boots, newest_kernels, probe_domain_type
from tests.hosts.guest_image import GuestImage
from tests.hosts.kvm_machines import connected, emptied, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.waiting import eventually


async def test_the_life_of_a_machine_is_told_in_order(libvirtd: PrivateLibvirtd) -> None:
    changes: list[Change] = []
    async with connected(libvirtd.uri) as machines:
        leave = machines.on_change(changes.append)
        with emptied(libvirtd.uri) as outside:
            domain = outside.defineXML(small_xml("m"))
            uuid = domain.UUIDString()
            domain.create()
            domain.suspend()
            domain.resume()
            domain.destroy()
            domain.undefine()
            await eventually(lambda: bool(changes) and changes[-1].what == "removed")
            assert {(change.uuid, change.name) for change in changes} == {(uuid, "m")}
            told = [change.what for change in changes]
            # libvirt says `resumed` also of the start, before `started`.
            assert list(dict.fromkeys(told)) == ["defined", "resumed", "started", "paused", "stopped", "removed"]
            leave()
            leave()
            before = len(changes)
            outside.defineXML(small_xml("n"))
            await asyncio.sleep(0.2)
            assert len(changes) == before


async def test_a_kernel_is_the_proof_and_its_voice_is_heard(guest_image: GuestImage) -> None:
    assert await boots(guest_image.kernel, "qemu-system-x86_64", "tcg", 30)
    assert not await boots(guest_image.initrd, "qemu-system-x86_64", "tcg", 5)  # qemu refuses what is no kernel


async def test_without_proof_machines_are_emulated_and_the_reason_is_given(
    guest_image: GuestImage, tmp_path: Path
) -> None:
    kernels = [guest_image.kernel]
    no_device = await probe_domain_type(kernels, "qemu-system-x86_64", kvm=tmp_path / "kvm")
    no_kernel = await probe_domain_type([tmp_path / "vmlinuz"], "qemu-system-x86_64", kvm=Path("/dev/null"))
    no_qemu = await probe_domain_type(kernels, "no-such-qemu", kvm=Path("/dev/null"))
    assert [probe.type for probe in (no_device, no_kernel, no_qemu)] == ["qemu"] * 3
    assert "kvm is not there" in no_device.reason
    assert "no kernel image" in no_kernel.reason
    assert 'domain_type = "kvm"' in no_kernel.reason
    assert "no-such-qemu cannot be run" in no_qemu.reason


async def test_what_the_probe_finds_here_is_what_a_kernel_does_here(guest_image: GuestImage) -> None:
    """Either answer may be right on the machine that runs this; it must be the kernel's own."""
    kernel, qemu = guest_image.kernel, "qemu-system-x86_64"
    if not Path("/dev/kvm").exists():
        pytest.skip("needs /dev/kvm: without it there is nothing to probe")
    comes_up = await boots(kernel, qemu, "kvm", 4)
    probe = await probe_domain_type([kernel], qemu, seconds=4)
    assert probe == Probe("kvm" if comes_up else "qemu", probe.reason)
    assert str(kernel) in probe.reason


def test_the_hosts_own_kernels_are_tried_newest_first(tmp_path: Path) -> None:
    for name, at in (("vmlinuz-1", 100), ("vmlinuz-2", 200), ("initrd.img-2", 300)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (at, at))
    assert [kernel.name for kernel in newest_kernels(tmp_path)] == ["vmlinuz-2", "vmlinuz-1"]
