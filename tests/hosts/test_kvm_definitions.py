"""What others do to a machine's definition is in the very next list, whichever way they do it.

libvirt 9.0 raises no event for most of this (`setmem`, `setmaxmem`, `setvcpus`, `attach-device`, each with
`--config`): what was remembered of a definition would be wrong for ever.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from oms.agent.guests import MachineState
from oms.agent.guests.libvirt import LibvirtMachines
from oms.contract.errors import HypervisorUnavailable
from tests.hosts.kvm_machines import connected, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd

Virsh = Callable[..., None]
CELL = "<cpu><numa><cell id='0' cpus='0-3' memory='64' unit='MiB'/></numa></cpu>"
DIMM = "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>"


def xml(memory_mb: int, vcpus: int = 1, *, name: str = "m") -> str:
    """Two sizes, a machine that could be given a memory module, and always the same UUID."""
    text = small_xml(name, memory_mb=memory_mb, vcpus=f"<vcpu current='{vcpus}'>4</vcpu>")
    most = "<uuid>c0ffee00-0000-4000-8000-00000000000a</uuid><maxMemory slots='2' unit='MiB'>1024</maxMemory>"
    return text.replace("<os>", f"{most}<os>").replace("<features>", f"{CELL}<features>")


@pytest.fixture
def virsh(libvirtd: PrivateLibvirtd) -> Virsh:
    """The command, which must succeed."""

    def run(*words: object, editor: str = "") -> None:
        command = ["virsh", "--quiet", "--connect", libvirtd.uri, *map(str, words)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env={**os.environ, "EDITOR": editor}
        )
        assert done.returncode == 0, done.stderr

    return run


def told(states: list[MachineState], name: str = "m") -> tuple[int, int, int]:
    """CPUs, and memory and the most of it in MB, of the machine of that name."""
    [found] = [machine for machine in states if machine.name == name]
    return found.vcpus, found.memory_kb // 1024, found.max_memory_kb // 1024


CHANGES: dict[str, tuple[list[object], tuple[int, int, int]]] = {
    "setmem": (["setmem", "m", "32M", "--config"], (1, 32, 64)),
    "setmaxmem": (["setmaxmem", "m", "96M", "--config"], (1, 64, 96)),
    "setvcpus": (["setvcpus", "m", "3", "--config"], (3, 64, 64)),
    "setvcpu": (["setvcpu", "m", "2", "--enable", "--config"], (2, 64, 64)),
}


@pytest.mark.parametrize("others_run", [False, True], ids=["all are off", "another runs"])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_setting_changed_by_virsh_is_in_the_next_list(
    change: str, others_run: bool, virt: libvirt.virConnect, machines: LibvirtMachines, virsh: Virsh
) -> None:
    words, wanted = CHANGES[change]
    virt.defineXML(small_xml("m", memory_mb=64, vcpus="<vcpu current='1'>4</vcpu>"))
    if others_run:
        virt.defineXML(small_xml("other")).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    for _ in range(2):
        assert told(await machines.states()) == (1, 64, 64)
    await asyncio.to_thread(virsh, *words)
    assert told(await machines.states()) == wanted


async def test_a_definition_written_anew_or_edited_is_in_the_next_list(
    virt: libvirt.virConnect, machines: LibvirtMachines, virsh: Virsh, tmp_path: Path
) -> None:
    virt.defineXML(xml(64))
    assert told(await machines.states()) == (1, 64, 64)
    (tmp_path / "m.xml").write_text(xml(64, 2))
    await asyncio.to_thread(virsh, "define", tmp_path / "m.xml")
    assert told(await machines.states()) == (2, 64, 64)
    await asyncio.to_thread(virsh, "edit", "m", editor="sed -i s/current=\\'2\\'/current=\\'4\\'/")
    assert told(await machines.states()) == (4, 64, 64)


async def test_a_memory_module_put_in_or_taken_out_is_in_the_next_list(
    virt: libvirt.virConnect, machines: LibvirtMachines, virsh: Virsh, tmp_path: Path
) -> None:
    virt.defineXML(xml(64))
    (tmp_path / "dimm.xml").write_text(DIMM)
    assert told(await machines.states()) == (1, 64, 64)
    await asyncio.to_thread(virsh, "attach-device", "m", tmp_path / "dimm.xml", "--config")
    assert told(await machines.states())[2] == 192
    await asyncio.to_thread(virsh, "detach-device", "m", tmp_path / "dimm.xml", "--config")
    assert told(await machines.states())[2] == 64


async def test_a_machine_named_anew_or_forgotten_is_so_in_the_next_list(
    virt: libvirt.virConnect, machines: LibvirtMachines, virsh: Virsh
) -> None:
    virt.defineXML(xml(64))
    assert told(await machines.states()) == (1, 64, 64)
    await asyncio.to_thread(virsh, "domrename", "m", "n")
    assert [machine.name for machine in await machines.states()] == ["n"]
    await asyncio.to_thread(virsh, "undefine", "n")
    assert await machines.states() == []


async def test_what_a_running_machine_will_start_with_is_told_when_it_is_off(
    virt: libvirt.virConnect, machines: LibvirtMachines, virsh: Virsh
) -> None:
    virt.defineXML(small_xml("m", memory_mb=64, vcpus="<vcpu current='1'>4</vcpu>")).createWithFlags(
        libvirt.VIR_DOMAIN_START_PAUSED
    )
    await asyncio.to_thread(virsh, "setvcpus", "m", "3", "--config")
    assert told(await machines.states()) == (1, 64, 64)
    await asyncio.to_thread(virsh, "destroy", "m")
    assert told(await machines.states()) == (3, 64, 64)


@pytest.mark.parametrize("how", ["restarted", "told to read its files again"])
async def test_a_file_changed_behind_libvirtd_is_in_the_first_list_after_libvirtd_has_read_it(
    how: str, make_libvirtd: Callable[[], PrivateLibvirtd]
) -> None:
    daemon = make_libvirtd()
    daemon.connect().defineXML(xml(64))
    async with connected(daemon.uri) as machines:
        assert told(await machines.states()) == (1, 64, 64)
        [file] = daemon.root.rglob("m.xml")
        file.write_text(file.read_text().replace("current='1'", "current='3'"))
        assert told(await machines.states()) == (1, 64, 64)
        if how == "restarted":
            daemon.kill()
            await asyncio.to_thread(daemon.start)
        else:
            await asyncio.to_thread(read_again, daemon)
        assert told(await first_answer(machines)) == (3, 64, 64)


def read_again(daemon: PrivateLibvirtd) -> None:
    assert daemon.pid is not None
    os.kill(daemon.pid, signal.SIGHUP)
    domain = daemon.connect().lookupByName("m")
    for _ in range(1200):
        if domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_CONFIG) == 3:
            return
        time.sleep(0.05)
    raise AssertionError("libvirtd has not read its files")


async def first_answer(machines: LibvirtMachines) -> list[MachineState]:
    """Once libvirtd is back."""
    while True:
        try:
            return await machines.states()
        except HypervisorUnavailable:
            await asyncio.sleep(0.05)
