"""Calls that a host answers, beside the same asked of its libvirtd directly."""

import statistics
import threading
import time
from collections.abc import Callable

import libvirt

from bench.figures import Goal, Pairs, pairs, say, times_ms
from bench.load import call, good, wrk
from bench.setting import CLIENTS, Setting, name
from tests.hosts.stack import NAME

SECONDS = 2
STARTS = 12
GROUPS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
)


def live(on: Setting) -> None:
    """A list of all machines beside one bare call for the four groups of statistics that it tells."""
    body = call("kvmservices", "list_vms_status", on.caller.sessid, 0, NAME)
    late: list[float] = []
    bare_late: list[float] = []

    def listed() -> float:
        load = good(wrk(on.url, [body], clients=1, seconds=SECONDS))
        late.append(load.p99)
        return load.p50

    def bare() -> float:
        took = times_ms(lambda: on.bare.getAllDomainStats(GROUPS, 0), SECONDS, time.perf_counter)
        bare_late.append(statistics.quantiles(took, n=100)[-1])
        return statistics.median(took)

    found = pairs(listed, bare)
    say("live list / one libvirt call, 4 groups: p50", found, Goal("<=", 1.25), "ms")
    say("  p99 / that call's p50", Pairs(late, found.theirs), Goal("<=", 2), "ms")
    say("  p99 / that call's own p99", Pairs(late, bare_late), None, "ms")
    at_once = pairs(
        lambda: good(wrk(on.url, [body], clients=CLIENTS, seconds=SECONDS)).rate, lambda: _bare_rate(on)
    )
    say(f"live list / libvirt's own: rate at {CLIENTS}", at_once, Goal(">=", 1), "per s")


def start(on: Setting) -> None:
    """start_vm beside bare create() of the same machine."""
    domain = on.bare.lookupByName(name(0))

    def timed(act: Callable[[], object]) -> float:
        on.caller.close()  # the server ends connections that were idle for long
        on.caller.raw("authservices", "checksessid", on.caller.sessid)
        began = time.perf_counter()
        act()
        took_ms = (time.perf_counter() - began) * 1000
        domain.destroy()
        time.sleep(0.3)
        return took_ms

    found = pairs(lambda: timed(lambda: on.caller.kvm("start_vm", name(0))), lambda: timed(domain.create), STARTS)
    say("start_vm / create()", found, Goal("<=", 1.1), "ms")
    added = [mine - other for mine, other in zip(found.ours, found.theirs, strict=True)]
    print(f"  added by OMS, the median: {statistics.median(added):.1f} ms")


def _bare_rate(on: Setting) -> float:
    end, counts = time.monotonic() + SECONDS, []

    def ask() -> None:
        connection, count = on.daemon.connect(), 0
        while time.monotonic() < end:
            connection.getAllDomainStats(GROUPS, 0)
            count += 1
        counts.append(count)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS
