"""Commands in a terminal while something is under way: progress, Ctrl-C, lists that are watched."""

import asyncio
import json
import subprocess
from typing import Any

import pytest

from oms.client import Client
from oms.contract import kvm, user
from oms.contract.errors import FuncManError, NoSuchMachine
from tests.cli import command
from tests.cli.command import Ran
from tests.cli.terminal import Terminal
from tests.server.door import Door, door
from tests.server.fixtures import database, folder, no_task_breaks_unseen, oms, seed
from tests.server.rig import PASSWORD, answering

__all__ = ["database", "door", "folder", "no_task_breaks_unseen", "oms", "seed"]


class Slow:
    """A host that stops machines when it is let."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.ill = False

    async def stop(self, op: kvm.StopVm) -> int:
        await self.gate.wait()
        if op.kvm_vm_name != "vm1":
            raise NoSuchMachine(f"There is no machine {op.kvm_vm_name}.")
        return 0

    async def listed(self, op: kvm.ListVms) -> list[kvm.Machine]:
        if self.ill:
            raise FuncManError("The hypervisor sleeps.")
        return [kvm.Machine(1, [], kvm.MachineStats(), f"vm{number}", f"vm{number}") for number in range(1, 61)]


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def given(door: Door, slow: Slow) -> dict[str, str]:
    """What says to a command where OMS is, and who asks."""
    status = kvm.MachineStatus(1, "running", "64", "0", "64")
    handlers: dict[Any, Any] = {
        kvm.StopVm: slow.stop,
        kvm.ListVms: slow.listed,
        kvm.ListVmsStatus: answering({"vm1": status}),
    }
    await door.oms.sign_in_host("node1", handlers)
    async with Client(door.url, ca_sha256=door.server.ca_sha256) as client:
        await client.login("admin", PASSWORD)
        token = (await client.call(user.CreateToken("cli", "admin"))).token
    return {"OMS_URL": door.url, "OMS_CA_SHA256": door.server.ca_sha256, "OMS_TOKEN": token}


async def ran(given: dict[str, str], *words: str) -> Ran:
    return await asyncio.to_thread(command.oms, *words, more=given)


async def test_a_job_is_shown_while_it_runs_and_goes_on_after_ctrl_c(given: dict[str, str], slow: Slow) -> None:
    def interrupted() -> tuple[int, bytes]:
        with Terminal("kvm", "stop-vm", "node1", "vm1", more=given) as terminal:
            terminal.until(b"stop_vm vm1")
            terminal.interrupt()
            terminal.until(b"Cancel the job?")
            terminal.press(b"n\n")
            return terminal.ended(), terminal.shown

    code, shown = await asyncio.to_thread(interrupted)
    assert code == 130
    assert b"The job goes on" in shown
    slow.gate.set()
    (job,) = (await ran(given, "tasks", "list-tasks", "-o", "csv")).out.splitlines()[1:]
    assert "done" in (await ran(given, "tasks", "wait-task", job.partition(",")[0])).out


async def test_a_job_that_is_not_waited_for_is_an_id_and_one_that_fails_has_its_code(
    given: dict[str, str], slow: Slow
) -> None:
    begun = await ran(given, "kvm", "stop-vm", "node1", "vm1", "--no-wait")
    assert begun.code == 0
    slow.gate.set()
    waited = await ran(given, "tasks", "wait-task", begun.out.strip(), "-o", "csv")
    assert "done" in waited.out
    failed = await ran(given, "kvm", "stop-vm", "node1", "vm2")
    assert (failed.code, failed.out) == (5, "")
    assert failed.last == "oms kvm stop-vm: FuncManError: There is no machine vm2. Did you mean vm1?"
    unknown = await ran(given, "kvm", "stop-vm", "node2", "vm1")
    assert unknown.code == 1
    assert unknown.last.endswith("Did you mean node1?")


async def test_a_list_is_watched_until_ctrl_c(given: dict[str, str]) -> None:
    def watched() -> int:
        with Terminal("kvm", "list-vms-status", "node1", "--watch", more=given) as terminal:
            terminal.until(b"running")
            terminal.interrupt()
            return terminal.ended()

    assert await asyncio.to_thread(watched) == 0


async def test_what_is_watched_stays_while_there_is_no_answer(given: dict[str, str], slow: Slow) -> None:
    def watched() -> bytes:
        with Terminal("kvm", "list-vms", "node1", "memory", "--watch", more=given) as terminal:
            terminal.until(b"60 rows in all")
            slow.ill = True
            terminal.until(b"The hypervisor sleeps.")
            told = terminal.shown.rpartition(b"The hypervisor sleeps.")[2]
            terminal.until(b"60 rows in all")
            terminal.interrupt()
            assert terminal.ended() == 0
            return told or terminal.shown.rpartition(b"The hypervisor sleeps.")[2]

    assert b"vm1 " in await asyncio.to_thread(watched)


async def test_what_is_watched_into_a_pipe_is_each_answer(given: dict[str, str]) -> None:
    words = ("kvm", "list-vms-status", "node1", "--watch", "-o", "json")

    def first() -> str:
        with subprocess.Popen(
            [*command.OMS, *words], stdout=subprocess.PIPE, env=command.environment(**given)
        ) as oms:
            assert oms.stdout is not None
            shown = ""
            while not shown.endswith("\n}\n"):
                line = oms.stdout.readline().decode()
                assert line, shown
                shown += line
            oms.terminate()
            return shown

    assert json.loads(await asyncio.to_thread(first))["vm1"]["state"] == "running"
    unknown = await ran(given, "kvm", "list-vms-status", "node2", "--watch")
    assert (unknown.code, unknown.last.endswith("Did you mean node1?")) == (1, True)


async def test_a_shell_is_offered_hosts_and_guests(given: dict[str, str]) -> None:
    for line, offered in (("oms kvm stop-vm no", "node1"), ("oms kvm stop-vm node1 v", "vm1")):
        words = {"_OMS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        assert (await ran({**given, **words})).out.split() == [offered]
