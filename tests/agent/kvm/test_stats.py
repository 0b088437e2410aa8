"""Measurements in the contract's words."""

import msgspec

from oms.agent.guests import DiskUse, MemoryUse, NetworkUse, Use
from oms.agent.kvm import stats
from oms.contract.kvm import MemoryStats


def test_all_numbers_are_texts_and_percentages_have_two_decimals() -> None:
    use = Use(12.345, MemoryUse(50, 200), DiskUse(1, 3), NetworkUse("vmbr0", "10.0.0.2"))
    assert msgspec.to_builtins(stats.machine_stats(use)) == {
        "cpu": {"percentage": "12.35"},
        "memory": {"percentage": "25.00", "total": "200", "used": "50"},
        "df": {"percentage": "33.33", "total": "3", "used": "1"},
        "network": {"ip": "10.0.0.2", "name": "vmbr0"},
    }


def test_what_is_not_known_is_left_out() -> None:
    assert msgspec.json.encode(stats.machine_stats(Use())) == b"{}"


def test_nothing_of_nothing_is_nothing() -> None:
    assert stats.machine_stats(Use(memory=MemoryUse(0, 0))).memory == MemoryStats("0.00", "0", "0")


def test_only_what_can_be_seen_from_outside_is_measured() -> None:
    assert stats.measured(("cpu", "uptime", "df", "swap")) == {"cpu", "df"}
