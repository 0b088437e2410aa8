"""Machines that are off are listed without asking libvirt for their sizes, and never wrongly."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import libvirt
import pytest

from oms.agent.guests import MachineState
from oms.agent.guests.libvirt import calls, remembered
from oms.agent.guests.libvirt.remembered import Remembered, definitions_of
from tests.hosts.kvm_machines import disk_xml, emptied, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd

CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
SETTLED_SECONDS = 0.05


class Counted:
    """A connection that counts how often sizes are asked."""

    def __init__(self, connection: libvirt.virConnect) -> None:
        self._connection, self.sizes_asked = connection, 0

    def __getattr__(self, name: str) -> Any:
        self.sizes_asked += name == "getAllDomainStats"
        return getattr(self._connection, name)


@pytest.fixture
def outside(libvirtd: PrivateLibvirtd) -> Iterator[libvirt.virConnect]:
    with emptied(libvirtd.uri) as connection:
        yield connection


@pytest.fixture
def asked(libvirtd: PrivateLibvirtd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    monkeypatch.setattr(remembered, "SETTLED_SECONDS", SETTLED_SECONDS)
    connection = libvirtd.connect()
    yield Counted(connection)
    connection.close()


def listed(asked: Counted, known: Remembered) -> list[MachineState]:
    """After this nothing of it has to be asked, unless something changes."""
    calls.states(known, asked)
    time.sleep(SETTLED_SECONDS * 2)
    calls.states(known, asked)
    before = asked.sizes_asked
    found = calls.states(known, asked)
    assert asked.sizes_asked == before
    return found


def truth(asked: Counted) -> list[MachineState]:
    return calls.states(Remembered(None), asked)


def test_sizes_are_asked_once_and_what_runs_each_time(outside: libvirt.virConnect, asked: Counted) -> None:
    known = Remembered(definitions_of(asked))
    outside.defineXML(small_xml("off", vcpus="<vcpu current='1'>2</vcpu>"))
    running = outside.defineXML(small_xml("on"))
    running.create()
    found = listed(asked, known)
    assert [(machine.name, machine.state) for machine in found] == [("off", "shutdown"), ("on", "running")]
    assert found[0] == truth(asked)[0]
    assert (found[0].vcpus, found[0].memory_kb, found[0].cpu_time_ns) == (1, 32768, 0)
    running.suspend()
    assert calls.states(known, asked)[1].state == "paused"


def _defined_anew(outside: libvirt.virConnect, _domain: libvirt.virDomain) -> None:
    uuid = outside.lookupByName("m").UUIDString()
    outside.defineXML(small_xml("m", memory_mb=48).replace("<os>", f"<uuid>{uuid}</uuid><os>"))


def _another_of_that_name(outside: libvirt.virConnect, domain: libvirt.virDomain) -> None:
    domain.undefine()
    outside.defineXML(small_xml("m", memory_mb=40))


def _run_with_other_memory(_outside: libvirt.virConnect, domain: libvirt.virDomain) -> None:
    domain.create()
    domain.setMemoryFlags(20000, CONFIG)
    domain.destroy()


CHANGES: dict[str, Callable[[libvirt.virConnect, libvirt.virDomain], object]] = {
    "CPUs": lambda _outside, domain: domain.setVcpusFlags(2, CONFIG),
    "memory": lambda _outside, domain: domain.setMemoryFlags(16384, CONFIG),
    "most memory": lambda _outside, domain: domain.setMemoryFlags(65536, CONFIG | libvirt.VIR_DOMAIN_MEM_MAXIMUM),
    "defined anew": _defined_anew,
    "another of that name": _another_of_that_name,
    "renamed": lambda _outside, domain: domain.rename("n"),
    "removed": lambda _outside, domain: domain.undefine(),
    "one more": lambda outside, _domain: outside.defineXML(small_xml("more")),
    "one that is not kept": lambda outside, _domain: outside.createXML(small_xml("transient")),
    "started": lambda _outside, domain: domain.create(),
    "changed while it ran": _run_with_other_memory,
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_next_list_knows_every_change(change: str, outside: libvirt.virConnect, asked: Counted) -> None:
    known = Remembered(definitions_of(asked))
    domain = outside.defineXML(small_xml("m", vcpus="<vcpu current='1'>4</vcpu>"))
    outside.defineXML(small_xml("other"))
    before = listed(asked, known)
    CHANGES[change](outside, domain)
    found = calls.states(known, asked)
    assert found != before
    expected = truth(asked)
    for machines in (found, expected):
        machines[:] = [machine for machine in machines if machine.state == "shutdown"]
    assert found == expected == [machine for machine in listed(asked, known) if machine.state == "shutdown"]


def test_a_machine_that_goes_back_to_a_snapshot_has_its_sizes(
    outside: libvirt.virConnect, asked: Counted, tmp_path: Path
) -> None:
    known, image = Remembered(definitions_of(asked)), tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    domain = outside.defineXML(small_xml("m", devices=disk_xml(image).replace("'raw'", "'qcow2'")))
    snapshot = domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>", 0)
    domain.setMemoryFlags(20000, CONFIG)
    assert listed(asked, known)[0].memory_kb == 20000
    domain.revertToSnapshot(snapshot, 0)
    assert calls.states(known, asked)[0].memory_kb == 32768


def test_everything_is_asked_anew_after_a_while(
    outside: libvirt.virConnect, asked: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a directory which is not the daemon's after all deceives nobody for long."""
    known = Remembered(definitions_of(asked))
    outside.defineXML(small_xml("m"))
    listed(asked, known)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + remembered.ASKED_AGAIN_SECONDS)
    before = asked.sizes_asked
    calls.states(known, asked)
    assert asked.sizes_asked > before


def test_nothing_is_remembered_by_another_daemons_directory(
    outside: libvirt.virConnect, asked: Counted, tmp_path: Path
) -> None:
    uuid = outside.defineXML(small_xml("m")).UUIDString()
    for text in (None, "<domain><uuid>c0ffee00-0000-4000-8000-000000000000</uuid></domain>", "<domain/>"):
        if text is not None:
            (tmp_path / "m.xml").write_text(text)
        time.sleep(SETTLED_SECONDS * 2)
        known = Remembered(tmp_path)
        for _ in range(2):
            before = asked.sizes_asked
            assert [machine.uuid for machine in calls.states(known, asked)] == [uuid]
            assert asked.sizes_asked > before


def test_each_daemon_has_a_directory_of_its_own(
    libvirtd: PrivateLibvirtd, outside: libvirt.virConnect, asked: Counted
) -> None:
    """This one's /etc is not the one that we see."""
    outside.defineXML(small_xml("m"))
    directory = definitions_of(asked)
    assert directory is not None
    assert directory.samefile(libvirtd.root / "etc" / "qemu")
    assert (directory / "m.xml").exists()


@pytest.mark.parametrize("uri", ["qemu:///session", "qemu+ssh://there/system", "test:///default", "lxc:///system"])
def test_no_directory_is_known_of_other_daemons(uri: str) -> None:
    assert definitions_of(SimpleNamespace(getURI=lambda: uri)) is None
