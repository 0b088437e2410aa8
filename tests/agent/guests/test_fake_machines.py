"""Machines that are in memory alone, against what every backend must do, and what libvirt's words make of them."""

import pytest

from oms.agent.guests import Machines
from oms.agent.guests.fake import FakeMachines, Rhythm
from oms.contract.errors import FuncManError, MachineIsOff, NotSupported
from tests.agent.guests import conformance

XML = """<domain type='qemu'><name>one</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>
<os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>
<source file='/images/one.qcow2'/><target dev='vda'/></disk></devices></domain>"""
DISK = "<disk type='file' device='disk'><source file='/images/two.qcow2'/><target dev='vdb'/></disk>"
NONE = "00000000-0000-4000-8000-000000000000"


async def test_the_fake_keeps_the_port() -> None:
    machines: Machines = FakeMachines()
    await conformance.guest_lives(machines, await machines.define(XML), NONE)


async def test_a_definition_in_libvirts_words_is_what_the_machine_is_made_of() -> None:
    machines = FakeMachines()
    key = await machines.define(XML)
    await machines.redefine(key, vcpus=1, memory_kb=32 * 1024)
    await machines.start(key)
    await machines.attach(key, DISK, live=True, kept=False)
    found = await machines.find("one")
    assert found.live is not None
    assert found.kept is not None
    assert (found.live.vcpus, found.live.memory_kb) == (1, 32 * 1024)
    assert [disk.target for disk in found.live.disks] == ["vda", "vdb"]
    assert [disk.target for disk in found.kept.disks] == ["vda"]
    await machines.detach(key, DISK, live=True, kept=True)
    assert [disk.target for disk in (await machines.find(key)).live.disks] == ["vda"]  # type: ignore[union-attr]
    with pytest.raises(FuncManError, match="stop it first"):
        await machines.undefine(key)
    with pytest.raises(FuncManError, match="refused"):
        await machines.define("<domain>")


async def test_snapshots_are_gone_back_to() -> None:
    machines = FakeMachines()
    key = await machines.define(XML)
    await machines.create_snapshot(key, "before", "two CPUs")
    await machines.redefine(key, vcpus=1, memory_kb=None)
    await machines.create_snapshot(key, "after", "one CPU")
    assert [(one.name, one.parent, one.current) for one in await machines.snapshots(key)] == [
        ("before", "", False), ("after", "before", True),
    ]  # fmt: skip
    await machines.revert_snapshot(key, "before")
    await machines.delete_snapshot(key, "after")
    kept = (await machines.find(key)).kept
    assert kept is not None
    assert kept.vcpus == 2


async def test_a_saved_machine_is_off_and_what_cannot_be_had_is_refused() -> None:
    machines = FakeMachines()
    key = await machines.define(XML)
    with pytest.raises(MachineIsOff):
        await machines.save(key, lambda _percent: None)
    await machines.start(key)
    await machines.save(key, lambda _percent: None)
    assert (await machines.find(key)).saved
    with pytest.raises(NotSupported):
        await machines.portable(key)


def test_what_was_done_in_a_time_is_the_load_over_it() -> None:
    rhythm = Rhythm(mean=0.4, swing=0.3, period=600, phase=1.0)
    steps = [rhythm.at(1000 + number * 0.1) for number in range(5000)]
    assert rhythm.seconds(1000, 1500) == pytest.approx(sum(steps) * 0.1, rel=0.01)
    assert 0.1 <= min(steps) <= max(steps) <= 0.7
