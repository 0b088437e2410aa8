"""A libvirtd that dies or hangs: what is asked meanwhile fails soon and honestly, and all comes back by itself."""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from oms.agent.guests import Change
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.guests.libvirt.connections import QUIET_SECONDS
from oms.agent.kvm.handlers import list_vms_status
from oms.contract import kvm
from oms.contract.errors import HypervisorUnavailable
from tests.hosts.kvm_job import host
from tests.hosts.kvm_machines import connected, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd

MakeLibvirtd = Callable[[], PrivateLibvirtd]


class Heart:
    """Beats in the event loop; `longest` is the longest pause between two beats, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - before)

    def stop(self) -> None:
        self._task.cancel()


async def refused(machines: LibvirtMachines) -> tuple[float, HypervisorUnavailable]:
    """How long a list took to be refused, in seconds, and with what."""
    begun = time.monotonic()
    with pytest.raises(HypervisorUnavailable) as caught:
        await machines.states()
    return time.monotonic() - begun, caught.value


async def comes_back(machines: LibvirtMachines) -> None:
    """Wait until a list is answered again."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(HypervisorUnavailable):
                await machines.states()
                return
            await asyncio.sleep(0.05)


async def test_killed_while_many_ask(make_libvirtd: MakeLibvirtd, tmp_path: Path) -> None:
    daemon = make_libvirtd()
    with closing(daemon.connect()) as outside:
        outside.defineXML(small_xml("m"))
    changes: list[Change] = []
    async with connected(daemon.uri) as machines:
        machines.on_change(changes.append)
        told: set[str] = set()

        async def ask() -> None:
            while True:
                try:
                    told.add(",".join(await list_vms_status(kvm.ListVmsStatus(), host(machines, tmp_path))))
                except HypervisorUnavailable as error:
                    told.add(error.message.partition(";")[0])
                    await asyncio.sleep(0.02)

        askers = [asyncio.create_task(ask()) for _ in range(8)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(daemon.kill)
        await asyncio.sleep(0.3)
        seconds, error = await refused(machines)
        assert seconds < 1.9
        assert error.message.startswith("libvirtd on this host does not answer; ")
        await asyncio.to_thread(daemon.start)
        await comes_back(machines)
        for asker in askers:
            assert not asker.done()
            asker.cancel()
        assert told == {"m", "libvirtd on this host does not answer"}
        await asyncio.sleep(0.1)
        # What happened meanwhile nobody can tell, and that is told.
        assert Change("", "", "anything") in changes
        # And events are heard again.
        changes.clear()
        with closing(daemon.connect()) as outside:
            outside.defineXML(small_xml("n"))
            await asyncio.sleep(0.3)
        assert ("n", "defined") in {(change.name, change.what) for change in changes}


async def test_a_change_on_a_dead_libvirtd_is_surely_not_made(make_libvirtd: MakeLibvirtd) -> None:
    daemon = make_libvirtd()
    with closing(daemon.connect()) as outside:
        uuid = outside.defineXML(small_xml("m")).UUIDString()
    async with connected(daemon.uri) as machines:
        await asyncio.to_thread(daemon.kill)
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        with pytest.raises(HypervisorUnavailable, match="nothing was changed") as caught:
            await machines.start(uuid)
        assert time.monotonic() - begun < 3
        assert caught.value.data == {"outcome": "nothing"}
        await asyncio.to_thread(daemon.start)
        await comes_back(machines)
        assert (await machines.find(uuid)).state == "shutdown"


async def test_a_hung_libvirtd_is_noticed_and_holds_up_nobody_else(make_libvirtd: MakeLibvirtd) -> None:
    daemon, other = make_libvirtd(), make_libvirtd()
    with closing(daemon.connect()) as outside:
        uuid = outside.defineXML(small_xml("m")).UUIDString()
    async with connected(daemon.uri, ask_seconds=2.0) as machines, connected(other.uri) as others:
        await machines.states()
        heart = Heart()
        with daemon.hung():
            hung_at = time.monotonic()
            seconds, _ = await refused(machines)
            assert 1.9 < seconds < 8
            # More than there are threads, all at a time: each has its limit and none waits for another's.
            begun = time.monotonic()
            answers = await asyncio.gather(*(machines.find("m") for _ in range(12)), return_exceptions=True)
            assert {type(answer) for answer in answers} == {HypervisorUnavailable}
            assert time.monotonic() - begun < 5.5  # in turn it would be 6
            assert await others.states() == []
            # A change in flight when the line is given up: nobody knows.
            with pytest.raises(HypervisorUnavailable, match="is not known") as caught:
                await machines.start(uuid)
            assert caught.value.data == {"outcome": "unknown"}
            assert time.monotonic() - hung_at < 25
            # From here on it is known to be away.
            await asyncio.sleep(max(0.0, QUIET_SECONDS + 1 - (time.monotonic() - hung_at)))
            seconds, _ = await refused(machines)
            assert seconds < 1.9
            assert heart.longest < 1.9
        await comes_back(machines)
        heart.stop()


async def test_a_call_that_waited_for_its_turn_when_its_time_was_over_is_never_made(
    make_libvirtd: MakeLibvirtd,
) -> None:
    daemon = make_libvirtd()
    with closing(daemon.connect()) as outside:
        uuids = [outside.defineXML(small_xml(f"m{number}")).UUIDString() for number in range(6)]
        async with connected(daemon.uri, change_seconds=1.0) as machines:
            with daemon.hung():
                answers = await asyncio.gather(*map(machines.start, uuids), return_exceptions=True)
            outcomes = [answer.data["outcome"] for answer in answers if isinstance(answer, HypervisorUnavailable)]
            assert outcomes == ["unknown"] * 4 + ["nothing"] * 2
            await asyncio.sleep(3)
            states = {machine.uuid: machine.state for machine in await machines.states()}
            assert [states[uuid] for uuid in uuids[4:]] == ["shutdown"] * 2
            assert "running" in {states[uuid] for uuid in uuids[:4]}


async def test_nothing_is_left_of_lost_connections(make_libvirtd: MakeLibvirtd) -> None:
    daemon = make_libvirtd()
    async with connected(daemon.uri) as machines:
        open_files = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            await asyncio.to_thread(daemon.kill)
            await asyncio.to_thread(daemon.start)
            await comes_back(machines)
        await asyncio.sleep(0.5)
        assert len(list(Path("/proc/self/fd").iterdir())) <= open_files + 1


async def test_the_port_begins_without_libvirtd_and_finds_it_later(make_libvirtd: MakeLibvirtd) -> None:
    daemon = make_libvirtd()
    await asyncio.to_thread(daemon.kill)
    machines = LibvirtMachines(daemon.uri, "qemu")
    try:
        assert not await machines.begin(0.2)
        assert (await refused(machines))[0] < 0.5
        await asyncio.to_thread(daemon.start)
        await comes_back(machines)
    finally:
        await machines.close()


async def test_closing_while_libvirtd_hangs_takes_no_time(make_libvirtd: MakeLibvirtd) -> None:
    daemon = make_libvirtd()
    async with connected(daemon.uri) as machines:
        with daemon.hung():
            asking = asyncio.create_task(machines.states())
            await asyncio.sleep(0.1)
            begun = time.monotonic()
            await machines.close()
            assert time.monotonic() - begun < 3
            asking.cancel()


async def test_a_machine_in_whose_start_libvirtd_was_killed_is_off_and_can_be_started(
    make_libvirtd: MakeLibvirtd,
) -> None:
    daemon = make_libvirtd()
    note = daemon.root / "run/libvirt/qemu/m.xml"
    with closing(daemon.connect()) as outside:
        domain = outside.defineXML(small_xml("m"))
        domain.create()
        # What libvirtd has on its disk in the first moment of a start, before there is a process.
        text = re.sub(
            "<domstatus .*>", "<domstatus state='paused' reason='starting up' pid='0'>", note.read_text()
        )
        text = text.replace("<job type='none' async='none'/>", "<job type='none' async='start' flags='0x0'/>")
        domain.destroy()
    await asyncio.to_thread(daemon.kill)
    note.write_text(text)
    await asyncio.to_thread(daemon.start, forgetting=False)
    async with connected(daemon.uri) as machines:
        machine = await machines.find("m")
        assert (
            machine.state == "paused"
        )  # though there is nothing that could be: libvirtd will never do anything to it
        await asyncio.to_thread(daemon.kill)
        await asyncio.to_thread(daemon.start)
        await comes_back(machines)
        assert (await machines.find("m")).state == "shutdown"
        await machines.start(machine.uuid)
        assert (await machines.find("m")).state == "running"
