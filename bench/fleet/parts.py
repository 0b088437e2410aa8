"""What is measured with many hosts. Figures that depend on how busy the machine is are told with its load."""

import functools
import os
import statistics
import time
from collections.abc import Callable

from bench.fleet import pace
from bench.fleet.pace import Kind, Single
from bench.fleet.setting import KILLED, Fleet, until
from bench.machine import cpu_ms, memory_mb
from tests.hosts.stack import Caller, CallFailed

PROCESSES = ("server", "nats", "sim", "signer")
RATE, SESSIONS = 100, 1000
REST_SECONDS = 30.0
PAGES = 40
LARGEST_MS = 300.0


def say(what: str, figure: str, goal: str = "") -> None:
    """One line."""
    print(f"{what:58} {figure:44} {goal:24} load {os.getloadavg()[0]:.1f}", flush=True)


def enrolling(fleet: Fleet) -> None:
    """All hosts let in, one by one."""
    before = cpu_ms(fleet.pid("server"))
    seconds = until(lambda: fleet.connected() == fleet.hosts, fleet.said.read_text, 0.5)
    each = (cpu_ms(fleet.pid("server")) - before) / fleet.hosts
    say(
        "hosts enrolled, signed and connected",
        f"{fleet.hosts / seconds:.1f} a second; {each:.1f} ms of server CPU each",
    )


def rest(fleet: Fleet) -> None:
    """Nobody asks anything."""
    time.sleep(5)
    before = {name: cpu_ms(fleet.pid(name)) for name in PROCESSES}
    time.sleep(REST_SECONDS)
    for name in PROCESSES:
        percent = (cpu_ms(fleet.pid(name)) - before[name]) / (REST_SECONDS * 10)
        resident, _ = memory_mb(fleet.pid(name))
        say(f"at rest: {name}", f"{percent:.1f} % of one CPU, {resident:.0f} MB")


def lists(fleet: Fleet) -> None:
    """All guests: one page, all at once, each host asked."""
    caller = fleet.caller()
    guests = fleet.hosts * fleet.guests

    front = caller.sessid, 0

    def page(line: Single, offset: int, most: int, there: int) -> None:
        by_name = ("", "", "", "", "", "name", False)
        found = line.ask("fleetservices", "list_guests", *front, *by_name, offset, most)
        assert found.count(b'"vcpus":') == there, found[:200]

    def pages(line: Single, number: int) -> None:
        offset = number * 100 % guests
        page(line, offset, 100, min(100, guests - offset))

    def status(line: Single, number: int) -> None:
        line.ask("kvmservices", "list_vms_status", *front, f"sim-{number % fleet.hosts + 1:04}")

    until(
        lambda: (
            caller.call("fleetservices", "list_guests", caller.sessid, 0, "", "", "", "", "", "name", False, 0, 1)[
                "total"
            ]
            == guests
        )
    )
    _timed(fleet, f"a page of 100 of {guests} guests, by name", pages, PAGES)
    _timed(fleet, f"all {guests} guests in one answer", lambda line, _: page(line, 0, 0, guests), 8)
    _timed(fleet, "list_signed of all hosts", lambda line, _: line.ask("funcservices", "list_signed", *front), 8)
    _timed(fleet, "list_vms_status of one host", status, 200)


def _timed(fleet: Fleet, what: str, act: Callable[[Single, int], object], times: int) -> None:
    """One caller alone, who does nothing with the answers: what they cost him is not the server's."""
    took = []
    with Single(fleet.port) as line:
        act(line, 0)
        before = cpu_ms(fleet.pid("server"))
        for number in range(times):
            began = time.perf_counter()
            act(line, number)
            took.append((time.perf_counter() - began) * 1000)
    each = (cpu_ms(fleet.pid("server")) - before) / times
    say(what, f"p50 {statistics.median(took):.1f} ms, worst {max(took):.1f}; server CPU {each:.2f} ms each")


def mixed(fleet: Fleet, minutes: float) -> None:
    """A hundred calls a second by a thousand sessions: single reads, lists, changes."""
    sessions = fleet.sessions(SESSIONS)
    names = [f"sim-{number + 1:04}" for number in range(fleet.hosts)]
    used = {name: cpu_ms(fleet.pid(name)) for name in PROCESSES}
    asked = pace.run(fleet.port, sessions, _kinds(names), RATE, minutes * 60)
    for kind in sorted({*asked.took, *asked.wrong}):
        p50, p99 = asked.quantile(kind, 50), asked.quantile(kind, 99)
        goal = (
            f"p99 at most {LARGEST_MS:.0f}: {'met' if p99 <= LARGEST_MS else 'MISSED'}" if "single" in kind else ""
        )
        wrong = len(asked.wrong[kind])
        say(
            f"{RATE} a second, {kind}: {len(asked.took[kind])}",
            f"p50 {p50:.1f} ms, p99 {p99:.1f}; {wrong} failed",
            goal,
        )
        if wrong:
            print(f"  the first: {asked.wrong[kind][0]}", flush=True)
    for name in PROCESSES:
        percent = (cpu_ms(fleet.pid(name)) - used[name]) / (minutes * 600)
        say(f"meanwhile: {name}", f"{percent:.0f} % of one CPU, {memory_mb(fleet.pid(name))[0]:.0f} MB")


def _kinds(hosts: list[str]) -> list[tuple[int, list[Kind]]]:
    front = [(0, host) for host in hosts]
    page = ("", "", "", "", "", "name", False)
    stats, container = ("cpu", "memory", "df"), ("1003", {"vcpu": "2"})
    return [
        (50, [("single read: list_vms_status", "kvmservices", "list_vms_status", it) for it in front]),
        (15, [("single read: list_vms, statistics", "kvmservices", "list_vms", (*it, *stats)) for it in front]),
        (10, [("single read: get_stats", "statsservices", "get_stats", it) for it in front]),
        (10, [("single read: list_vms of containers", "ovzservices", "list_vms", it) for it in front]),
        (8, [("page of 100", "fleetservices", "list_guests", (0, *page, at, 100)) for at in range(0, 1000, 100)]),
        (1, [("list_signed", "funcservices", "list_signed", (0,))]),
        (6, [("change", "ovzservices", "update_vm_settings", (*it, *container)) for it in front]),
    ]


def bus(fleet: Fleet) -> None:
    """nats-server is killed: OMS starts another, and all hosts come back."""
    caller = fleet.caller()
    known = [f"sim-{number + 1:04}" for number in range(fleet.hosts)]
    before = {name: cpu_ms(fleet.pid(name)) for name in ("server", "sim")}
    fleet.kill("nats", KILLED)
    began = time.monotonic()
    seen: dict[float, float] = {}

    def back() -> bool:
        signed = caller.func("list_signed")
        share = sum(host["status"] for host in signed) / len(known)
        for part in (0.5, 0.9, 1.0):
            if share >= part and part not in seen:
                seen[part] = time.monotonic() - began
        return 1.0 in seen

    until(lambda: not all(host["status"] for host in caller.func("list_signed")))
    until(back, every=0.5)
    for name in known[:: max(1, len(known) // 50)]:
        until(functools.partial(_answers, caller, name), every=0.2)
    asked = time.monotonic() - began
    goal = f"all in 30 s: {'met' if seen[1.0] <= 30 else 'MISSED'}"
    say(
        f"{fleet.hosts} hosts back after a bus that was killed",
        f"half in {seen[0.5]:.1f} s, all in {seen[1.0]:.1f}, asked {asked:.1f}",
        goal,
    )
    cpu = ", ".join(
        f"{name} {(cpu_ms(fleet.pid(name)) - used) / fleet.hosts:.1f}" for name, used in before.items()
    )
    say(
        "  CPU time for each host that comes back",
        f"{cpu} ms; nats-server {cpu_ms(fleet.pid('nats')) / fleet.hosts:.1f}",
    )


def _answers(caller: Caller, name: str) -> bool:
    try:
        caller.kvm("list_vms_status", host=name)
    except CallFailed:
        return False
    return True
