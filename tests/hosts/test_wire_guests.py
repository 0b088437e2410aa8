"""Machines saved, kept and changed over the whole wire, while the agent is killed in the midst of it, and by two
callers at once."""

import contextlib
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libvirt
import pytest

from tests.hosts.guest_image import FULL, GuestImage
from tests.hosts.guests import Guest, domain_xml
from tests.hosts.kvm_machines import small_xml
from tests.hosts.stack import Caller, Stack

pytestmark = pytest.mark.hosts


def killed_in(oms: Stack, caller: Caller, call: tuple[str, ...], midst: Callable[[], bool]) -> object:
    """What a call answers whose agent is killed and started again in its midst."""
    with ThreadPoolExecutor(1) as threads, contextlib.closing(oms.caller()) as other:
        answer = threads.submit(other.kvm, *call)
        end = time.monotonic() + 30
        while not midst():
            assert time.monotonic() < end
            time.sleep(0.005)
        oms.kill("agent")
        oms.start("agent")
        return answer.result(90)


def test_what_a_killed_agent_left_is_finished_by_the_next(
    oms: Stack, caller: Caller, virt: libvirt.virConnect, guest_image: GuestImage, tmp_path: Path
) -> None:
    disk, console = oms.images / "d.qcow2", tmp_path / "console"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "8M"], check=True)
    xml = domain_xml("m", memory_mb=512, vcpu=1, console=console, disk=disk, image=guest_image, words=(FULL,))
    guest = Guest(virt.defineXML(xml), console)
    guest.start_and_wait()
    empty = disk.stat().st_blocks
    assert killed_in(oms, caller, ("create_snapshot", "m", "s"), lambda: disk.stat().st_blocks > empty + 2048) == 0
    assert [(found["name"], found["state"]) for found in caller.kvm("list_snapshots", "m")] == [("s", "running")]
    assert caller.kvm("describe_vm", "m")["state"] == "running"
    domain = guest.domain
    saving = lambda: domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE  # noqa: E731
    assert killed_in(oms, caller, ("save_vm", "m"), saving) == 0
    assert caller.kvm("describe_vm", "m")["saved"]
    assert caller.kvm("start_vm", "m") == 0
    assert caller.kvm("delete_snapshot", "m", "s") == 0
    newest = caller.task("list_tasks")
    assert {task["state"] for task in newest} == {"done"}


def test_two_who_ask_for_the_same_get_one_drive(oms: Stack, caller: Caller, virt: libvirt.virConnect) -> None:
    virt.defineXML(small_xml("m"))
    caller.kvm("create_file_based_image", "one.qcow2", 1)
    with ThreadPoolExecutor(4) as threads, contextlib.ExitStack() as ends:
        callers = [ends.enter_context(contextlib.closing(oms.caller())) for _ in range(4)]
        asked = [threads.submit(one.kvm, "attach_disk", "m", "one.qcow2") for one in callers]
        answers = [one.exception(60) or one.result() for one in asked]
    # Those who came while the first was under way have its answer; whoever came later is told who has it.
    assert "vda" in answers
    assert all(answer == "vda" or "needed by machine 'm'" in str(answer) for answer in answers)
    assert [disk["target"] for disk in caller.kvm("describe_vm", "m")["disks"]] == ["vda"]
