"""Events through the real address: what happens is told, and a server that is killed loses and doubles none."""

import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from tests.hosts.kvm_machines import small_xml
from tests.hosts.stack import NAME, NO_ANSWER, Caller, Stack

pytestmark = pytest.mark.hosts


@contextlib.contextmanager
def listening(oms: Stack, caller: Caller, after: int) -> Iterator[Iterator[dict[str, Any]]]:
    """A stream's events of the API, as they come."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", oms.port, timeout=60, context=context)
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {caller.sessid}", "Last-Event-ID": str(after)}
        connection.request("GET", "/events", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        assert (answer.getheader("content-type") or "").startswith("text/event-stream")
        yield (told for told in map(_data, answer) if "kind" in told)


def _data(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line[6:]) if line.startswith(b"data: ") else {}
    return found


def until(events: Iterator[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """What comes until there was each of these kinds."""
    found: list[dict[str, Any]] = []
    while not set(kinds) <= {event["kind"] for event in found}:
        found.append(next(events))
    return found


def head(caller: Caller) -> int:
    number: int = caller.call("eventservices", "list_events", caller.sessid, 0)["next"]
    return number


def test_what_happens_to_a_machine_is_told_whoever_does_it(
    oms: Stack, caller: Caller, virt: libvirt.virConnect
) -> None:
    with listening(oms, caller, head(caller)) as events:
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
    with listening(oms, caller, begin) as events:
        found = until(events, "server.started", "host.connected")
    numbers = [event["sequence"] for event in found]
    assert numbers == list(range(begin + 1, begin + 1 + len(found))), "none is missing, none comes twice"
    there = {tag["tag"] for tag in caller.tag("list_tags") if tag["tag"].startswith("t")}
    assert sorted(event["data"]["tag"] for event in found if event["kind"] == "tag.given") == sorted(there)
    assert set(given) <= there, "what was answered is there"
