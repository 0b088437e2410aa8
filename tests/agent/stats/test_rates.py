"""What follows from two readings of counters."""

import math

import msgspec

from oms.agent.host.counters import Cpu, Reading, Traffic
from oms.agent.stats.rates import rates

BEFORE = Reading(
    at=100.0,
    time=1000.0,
    cpu=Cpu(user=50, system=10, iowait=5, idle=900, other=1),
    memory_kb=1000,
    available_kb=600,
    swap_kb=0,
    swap_free_kb=0,
    load=0.5,
    traffic=Traffic("eth0", 1000, 500),
)


def after(seconds: float, cpu: Cpu, traffic: Traffic | None) -> Reading:
    return msgspec.structs.replace(BEFORE, at=BEFORE.at + seconds, cpu=cpu, traffic=traffic)


def test_waiting_for_disks_is_told_by_itself_and_is_not_being_busy() -> None:
    """Four CPUs for 5 seconds: 20 seconds in all, of which 5 were used and 1 waited."""
    done = rates(BEFORE, after(5, Cpu(53, 11, 6, 914, 2), Traffic("eth0", 6000, 1500)))
    assert (done.cpu, done.iowait) == (25.0, 5.0)
    assert (done.received, done.sent) == (1000.0, 200.0)


def test_traffic_of_another_device_or_of_one_made_anew_tells_nothing() -> None:
    for traffic in (Traffic("br0", 9000, 9000), Traffic("eth0", 10, 600), None):
        done = rates(BEFORE, after(1, Cpu(51, 10, 5, 901, 1), traffic))
        assert math.isnan(done.received)
        assert math.isnan(done.sent)
        assert done.cpu == 50.0


def test_idle_time_that_steps_back_makes_no_percentage_above_100() -> None:
    done = rates(BEFORE, after(1, Cpu(52, 10, 5, 899.5, 1), None))
    assert (done.cpu, done.iowait) == (100.0, 0.0)


def test_two_readings_at_one_moment_tell_nothing() -> None:
    assert all(math.isnan(value) for value in msgspec.structs.astuple(rates(BEFORE, BEFORE)))
