"""Events through the real address: what happens is told, and a server that is killed loses and doubles none."""

import contextlib
import threading

import libvirt
import pytest

from tests.hosts.kvm_machines import small_xml
from tests.hosts.listening import head, listening, until
from tests.hosts.stack import NAME, NO_ANSWER, Caller, Stack

pytestmark = pytest.mark.hosts


def test_what_happens_to_a_machine_is_told_whoever_does_it(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    with listening(oms.port, caller, head(caller)) as events:
        domain = virt.defineXML(small_xml("m"))
        [appeared] = [event for event in until(events, "guest.appeared") if event["kind"] == "guest.appeared"]
        guest = {"type": "kvm", "id": domain.UUIDString(), "name": "m"}
        assert (appeared["host"], appeared["guest"], appeared["data"]) == (NAME, guest, {"state": "shutdown"})
        caller.kvm("start_vm", "m")
        found = until(events, "job.begun", "job.ended", "guest.changed")
        [changed] = [event for event in found if event["kind"] == "guest.changed"]
        assert (changed["guest"], changed["data"]) == (guest, {"state": "running", "what": ["state"]})
        [ended] = [event for event in found if event["kind"] == "job.ended"]
        assert (ended["data"]["state"], ended["user"], ended["guest"]["name"]) == ("done", "admin", "m")
        domain.destroy()
        domain.undefine()
        assert until(events, "guest.gone")[-1]["guest"] == guest


def test_who_was_there_before_a_kill_reads_on_after_it_and_every_change_was_told_once(
    oms: Stack, caller: Caller
) -> None:
    begin, given = head(caller), []
    enough = threading.Event()

    def tag() -> None:
        with contextlib.closing(oms.caller()) as other, contextlib.suppress(*NO_ANSWER):
            for number in range(60):
                other.tag("add_tag", f"t{number}", NAME)
                given.append(f"t{number}")
                if number == 10:
                    enough.set()

    tagging = threading.Thread(target=tag)
    tagging.start()
    assert enough.wait(60)
    oms.kill("server")
    tagging.join()
    oms.start("server")
    oms.wait_for_server()
    with listening(oms.port, caller, begin) as events:
        found = until(events, "server.started", "host.connected")
    numbers = [event["sequence"] for event in found]
    assert numbers == list(range(begin + 1, begin + 1 + len(found))), "none is missing, none comes twice"
    there = {tag["tag"] for tag in caller.tag("list_tags") if tag["tag"].startswith("t")}
    assert sorted(event["data"]["tag"] for event in found if event["kind"] == "tag.given") == sorted(there)
    assert set(given) <= there, "what was answered is there"
