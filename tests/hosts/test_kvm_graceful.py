"""Guests that are asked to end, and do or do not; machines that stand still; memory that is kept on the disk."""

import asyncio
import time
from pathlib import Path

import libvirt
import pytest

from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.kvm.handlers import start_vm
from oms.agent.kvm.power import (
    discard_saved_vm,
    reboot_vm,
    reset_vm,
    resume_vm,
    save_vm,
    set_autostart_vm,
    shutdown_vm,
    suspend_vm,
)
from oms.contract import kvm
from oms.contract.errors import (
    FuncManError,
    GuestDidNotReact,
    JobCancelled,
    JobInterrupted,
    MachineIsOff,
    NoSuchMachine,
)
from oms.contract.kvm import power
from tests.hosts.conftest import MakeDomain
from tests.hosts.guest_image import DEAF, DOWN_MARKER, FULL, TICK_MARKER, TICKING, UP_MARKER
from tests.hosts.kvm_job import RehearsedJob, break_off_everywhere, host
from tests.hosts.kvm_machines import small_xml
from tests.waiting import eventually, until

SHUTDOWN = power.ShutdownVm("m", seconds=20)
UNHEARD = power.ShutdownVm("m", seconds=1)
THREE_ROUNDS = 30


class Hurried:
    """A clock that is on as soon as it is waited for: for guests that react to nothing."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    async def wait(self, _event: asyncio.Event, seconds: float) -> None:
        self._now += seconds
        await asyncio.sleep(0)


def idle(virt: libvirt.virConnect) -> libvirt.virDomain:
    """A running machine whose guest reacts to nothing."""
    domain = virt.defineXML(small_xml("m"))
    domain.create()
    return domain


async def test_a_guest_goes_off_by_its_button(
    make_domain: MakeDomain, machines: LibvirtMachines, tmp_path: Path
) -> None:
    guest = make_domain("m")
    guest.start_and_wait()
    assert await shutdown_vm(SHUTDOWN, host(machines, tmp_path)) == 0
    assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF
    assert DOWN_MARKER in guest.console.read_text()
    assert await shutdown_vm(SHUTDOWN, host(machines, tmp_path)) == 0


async def test_a_guest_that_does_not_hear_its_button_goes_off_by_its_agent(
    make_domain: MakeDomain, machines: LibvirtMachines, tmp_path: Path
) -> None:
    guest = make_domain("m", 128, agent=True, words=(DEAF,))
    guest.start_and_wait()
    await until_agent(machines)
    assert await shutdown_vm(power.ShutdownVm("m", seconds=10), host(machines, tmp_path)) == 0
    assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF
    assert "the agent shuts down" in guest.console.read_text()


def number(virt: libvirt.virConnect) -> int:
    """Which run of the machine this is; libvirt counts them."""
    run: int = virt.lookupByName("m").ID()
    return run


async def until_agent(machines: LibvirtMachines) -> None:
    for _ in range(900):
        live = (await machines.find("m")).live
        if live is not None and live.guest_agent:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no agent")


async def test_that_a_guest_did_not_react_is_told_and_it_runs_on(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = idle(virt)
    begun = time.monotonic()
    with pytest.raises(GuestDidNotReact, match="'m' was asked to shut down and did not within 1 s"):
        await shutdown_vm(UNHEARD, host(machines, tmp_path))
    assert time.monotonic() - begun >= 1
    assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


async def test_force_ends_a_guest_that_did_not_react_and_says_so(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = idle(virt)
    job = RehearsedJob()
    here = host(machines, tmp_path, job, clock=Hurried())
    assert await shutdown_vm(power.ShutdownVm("m", seconds=THREE_ROUNDS, force=True), here) == 0
    assert domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF
    assert "did not react" in job.notes["force"]


async def test_a_paused_guest_cannot_react_but_can_be_ended(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = idle(virt)
    domain.suspend()
    for call in (shutdown_vm(UNHEARD, host(machines, tmp_path)),
                 reboot_vm(power.RebootVm("m"), host(machines, tmp_path))):  # fmt: skip
        with pytest.raises(FuncManError, match=r"'m' is paused, so its guest cannot react.*resume_vm"):
            await call
    assert domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
    assert await shutdown_vm(power.ShutdownVm("m", force=True), host(machines, tmp_path)) == 0
    assert domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF


async def test_nobody_waits_any_longer_after_a_cancel(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = idle(virt)
    job = RehearsedJob()
    job.cancelled = True
    with pytest.raises(JobCancelled, match=r"not waited for any longer.*may do so yet"):
        await shutdown_vm(power.ShutdownVm("m", force=True), host(machines, tmp_path, job))
    assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


async def test_a_machine_that_is_not_kept_goes_off_for_good(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    steps = await break_off_everywhere(
        lambda here: shutdown_vm(power.ShutdownVm("m", seconds=THREE_ROUNDS, force=True), here),
        machines,
        tmp_path,
        before=lambda: virt.createXML(small_xml("m")),
        after=lambda: none_left(virt),
        clock=Hurried(),
    )
    assert steps == 2 + 2 + 3 * 2 + 2  # it goes, until when, ask in three rounds, stop
    with pytest.raises(NoSuchMachine):
        await shutdown_vm(SHUTDOWN, host(machines, tmp_path))
    virt.createXML(small_xml("m"))
    for call in (
        reboot_vm(power.RebootVm("m"), host(machines, tmp_path)),
        save_vm(power.SaveVm("m"), host(machines, tmp_path)),
        set_autostart_vm(power.SetAutostartVm("m", autostart=True), host(machines, tmp_path)),
    ):
        with pytest.raises(FuncManError, match="gone when it stops, so it cannot be"):
            await call


def none_left(virt: libvirt.virConnect) -> None:
    assert virt.listAllDomains(0) == []


async def test_a_reboot_shuts_down_and_starts_with_what_waited_for_it(
    make_domain: MakeDomain, virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    guest = make_domain("m")
    guest.start_and_wait()
    before = number(virt)
    guest.domain.setVcpusFlags(2, libvirt.VIR_DOMAIN_AFFECT_CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    guest.domain.setVcpusFlags(2, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    assert await reboot_vm(power.RebootVm("m", seconds=20), host(machines, tmp_path)) == 0
    assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert number(virt) == before + 1
    assert "cpus=2" in guest.wait_for("cpus=2")


async def test_a_reboot_may_be_broken_off_anywhere_and_the_machine_runs_anew(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    numbers = []

    def before() -> None:
        if not domain.isActive():
            domain.create()
        numbers.append(number(virt))

    def after() -> None:
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        assert number(virt) == numbers[-1] + 1  # once, not twice

    reboot = power.RebootVm("m", seconds=THREE_ROUNDS, force=True)
    steps = await break_off_everywhere(
        lambda here: reboot_vm(reboot, here), machines, tmp_path, before=before, after=after, clock=Hurried()
    )
    assert steps == 2 + 3 * 2 + 2 + 2 + 2  # until when, ask in three rounds, stop, was off, start
    domain.destroy()
    with pytest.raises(MachineIsOff, match="'m' is off; start it"):
        await reboot_vm(reboot, host(machines, tmp_path))
    assert not domain.isActive()


async def test_a_reset_boots_at_once_in_the_same_process(
    make_domain: MakeDomain, virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    guest = make_domain("m")
    guest.start_and_wait()
    before = number(virt)
    assert await reset_vm(power.ResetVm("m"), host(machines, tmp_path)) == 0
    async with asyncio.timeout(180):
        while guest.console.read_text(errors="replace").count(UP_MARKER) < 2:  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.1)
    assert guest.console.read_text(errors="replace").count(UP_MARKER) == 2
    assert number(virt) == before
    guest.domain.suspend()
    assert await reset_vm(power.ResetVm("m"), host(machines, tmp_path)) == 0
    assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


async def test_a_reset_is_repeated_soon_after_a_crash_and_else_told_to_be_not_known(
    machines: LibvirtMachines, virt: libvirt.virConnect, tmp_path: Path
) -> None:
    """`machines` comes first: it has libvirt hear events, which connections that are older never do."""
    domain = idle(virt)
    heard: list[str] = []
    listeners = [
        virt.domainEventRegisterAny(
            domain, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, lambda *_: heard.append("reset"), None
        ),
        virt.domainEventRegisterAny(
            domain,
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            lambda *words: heard.append(STATES.get(words[2], "")),
            None,
        ),
    ]

    def after() -> None:
        """It was reset: of two that follow each other at once libvirt may tell as of one."""
        until(lambda: "reset" in heard)
        heard.clear()

    try:
        steps = await break_off_everywhere(
            lambda here: reset_vm(power.ResetVm("m"), here), machines, tmp_path, before=int, after=after
        )
        assert steps == 2 + 2
        domain.suspend()  # so its firmware does nothing by itself
        await eventually(lambda: "suspended" in heard)
        long_ago = {"begun": str(time.time() - 3600)}
        with pytest.raises(JobInterrupted, match=r"Whether machine 'm' was reset is not known.*it is paused"):
            await reset_vm(power.ResetVm("m"), host(machines, tmp_path, RehearsedJob(long_ago)))
        domain.resume()
        await eventually(lambda: "resumed" in heard)
        assert "reset" not in heard[heard.index("suspended") : heard.index("resumed")]
    finally:
        for listener in listeners:
            virt.domainEventDeregisterAny(listener)


STATES = {libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended", libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed"}


async def test_a_machine_stands_still_and_goes_on_and_a_saved_one_goes_on_from_where_it_was(
    make_domain: MakeDomain, machines: LibvirtMachines, tmp_path: Path
) -> None:
    guest = make_domain("m", words=(TICKING,))
    guest.start_and_wait()
    here = host(machines, tmp_path)
    for _ in range(2):
        assert await suspend_vm(power.SuspendVm("m"), here) == 0
        assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
    ticks = guest.console.read_text().count(TICK_MARKER)
    await asyncio.sleep(1)
    assert guest.console.read_text().count(TICK_MARKER) <= ticks + 1  # what the serial line held back
    for _ in range(2):
        assert await resume_vm(power.ResumeVm("m"), here) == 0
        assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    guest.wait_for(f"{TICK_MARKER} {ticks + 5}")
    for _ in range(2):
        assert await save_vm(power.SaveVm("m"), here) == 0
        assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF
        assert (await machines.find("m")).saved
    guest.console.write_text("")
    assert await start_vm(kvm.StartVm("m"), here) == 0
    first = guest.wait_for(TICK_MARKER)
    assert int(first.rpartition(" ")[2]) > ticks + 5
    assert UP_MARKER not in guest.console.read_text()


async def test_a_machine_that_was_saved_while_it_stood_still_runs_when_it_is_started(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = idle(virt)
    domain.suspend()
    assert await save_vm(power.SaveVm("m"), host(machines, tmp_path)) == 0
    assert await start_vm(kvm.StartVm("m"), host(machines, tmp_path)) == 0
    assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


async def test_what_was_saved_can_be_dropped(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = idle(virt)
    domain.managedSave(0)
    here = host(machines, tmp_path)
    for _ in range(2):
        assert await discard_saved_vm(power.DiscardSavedVm("m"), here) == 0
        assert not domain.hasManagedSaveImage(0)
    with pytest.raises(MachineIsOff):
        await save_vm(power.SaveVm("m"), here)


async def test_saving_may_be_broken_off_anywhere(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))

    def after() -> None:
        assert domain.hasManagedSaveImage(0)
        domain.managedSaveRemove(0)

    steps = await break_off_everywhere(
        lambda here: save_vm(power.SaveVm("m"), here), machines, tmp_path, before=domain.create, after=after
    )
    assert steps >= 2


async def test_a_save_that_is_cancelled_leaves_the_machine_running_and_one_that_the_agent_left_is_waited_for(
    make_domain: MakeDomain, machines: LibvirtMachines, tmp_path: Path
) -> None:
    guest = make_domain("m", 512, words=(FULL, TICKING))
    guest.start_and_wait()
    saving = asyncio.create_task(machines.save(guest.domain.UUIDString(), lambda _percent: None))
    await until_at_work(guest.domain)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert not guest.domain.hasManagedSaveImage(0)
    ticks = guest.console.read_text().count(TICK_MARKER)
    guest.wait_for(f"{TICK_MARKER} {ticks + 3}")
    left = asyncio.create_task(asyncio.to_thread(guest.domain.managedSave, 0))
    await until_at_work(guest.domain)
    assert await save_vm(power.SaveVm("m"), host(machines, tmp_path, RehearsedJob({}))) == 0
    assert guest.domain.hasManagedSaveImage(0)
    await left


async def until_at_work(domain: libvirt.virDomain) -> None:
    while domain.jobInfo()[0] == libvirt.VIR_DOMAIN_JOB_NONE:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_what_needs_a_running_machine_says_so_of_one_that_is_off(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    here = host(machines, tmp_path)
    for call in (
        suspend_vm(power.SuspendVm("m"), here),
        resume_vm(power.ResumeVm("m"), here),
        reset_vm(power.ResetVm("m"), here),
        save_vm(power.SaveVm("m"), here),
    ):
        with pytest.raises(MachineIsOff, match="'m' is off; start it with start_vm first"):
            await call
    assert not domain.isActive()


async def test_a_machine_starts_with_its_host_when_that_is_wanted(
    virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    here = host(machines, tmp_path)
    for wanted in (True, True, False, False):
        assert await set_autostart_vm(power.SetAutostartVm("m", autostart=wanted), here) == 0
        assert bool(domain.autostart()) is wanted
        assert (await machines.find("m")).autostart is wanted
