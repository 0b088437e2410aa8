"""What the kernel's tables say."""

from oms.agent.host.memory import available_memory_kb
from oms.agent.host.neighbours import addresses


def test_available_memory_is_the_kernels_own_estimate() -> None:
    assert available_memory_kb("MemTotal:  100 kB\nMemFree:  10 kB\nMemAvailable:   42 kB\n") == 42
    assert 1024 < available_memory_kb() < 2**40


def test_only_neighbours_that_answered_are_known() -> None:
    table = (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "10.0.0.2         0x1         0x2         52:54:00:AA:00:01     *        vmbr0\n"
        "10.0.0.3         0x1         0x0         00:00:00:00:00:00     *        vmbr0\n"
    )
    assert addresses(table) == {"52:54:00:aa:00:01": "10.0.0.2"}
    addresses()
