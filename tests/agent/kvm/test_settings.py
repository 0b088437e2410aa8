"""What a running machine cannot take is told with the reason."""

import pytest
from msgspec.structs import replace

from oms.agent.guests import Capabilities, Definition, Machine
from oms.agent.kvm import settings
from oms.agent.kvm.limits import Wanted

MB = 1024
CAN = Capabilities("qemu", live_memory=True, live_vcpus_up=True, live_vcpus_down=False)
CANNOT = Capabilities("qemu", live_memory=False, live_vcpus_up=False, live_vcpus_down=False)
CAN_ALL = Capabilities("qemu", live_memory=True, live_vcpus_up=True, live_vcpus_down=True)


def live(*, balloon: bool = True) -> Definition:
    return Definition(
        vcpus=2, max_vcpus=4, memory_kb=256 * MB, max_memory_kb=512 * MB, vcpus_pinned=False, memory_pinned=False,
        balloon=balloon, disks=(), nics=(),
    )  # fmt: skip


def machine(now: Definition | None, *, kept: bool = True) -> Machine:
    return Machine("u", "n", "running" if now else "shutdown", now, live() if kept else None)


@pytest.mark.parametrize(
    ("wanted", "capabilities", "whys"),
    [
        (Wanted(3, 512), CAN, {}),
        (Wanted(2, 256), CAN, {}),
        (Wanted(None, None), CANNOT, {}),
        (Wanted(2, None), CANNOT, {}),
        (Wanted(3, None), CANNOT, {"vcpu": "this hypervisor adds no CPUs to a running machine"}),
        (Wanted(5, None), CAN, {"vcpu": "it was started with at most 4 CPUs"}),
        (Wanted(1, None), CAN, {"vcpu": "CPUs cannot be taken from a running machine"}),
        (Wanted(1, None), CAN_ALL, {}),
        (Wanted(None, 513), CAN, {"memory": "it was started with at most 512 MB"}),
        (Wanted(None, 300), CANNOT, {"memory": "this hypervisor changes no memory of a running machine"}),
    ],
)
def test_what_has_to_wait(wanted: Wanted, capabilities: Capabilities, whys: dict[str, str]) -> None:
    assert settings.waiting(wanted, machine(live()), capabilities) == whys


def test_without_a_balloon_memory_waits() -> None:
    assert settings.waiting(Wanted(None, 128), machine(live(balloon=False)), CAN) == {
        "memory": "it has no memory balloon"
    }


def test_nothing_waits_where_the_machine_is_off() -> None:
    assert settings.waiting(Wanted(99, 9999), machine(None), CANNOT) == {}


def test_all_waits_where_the_machine_is_saved() -> None:
    saved = replace(machine(None), saved=True)
    assert settings.waiting(Wanted(2, 256), saved, CAN_ALL) == dict.fromkeys(("memory", "vcpu"), settings.SAVED)
    assert settings.waiting(Wanted(2, None), saved, CAN_ALL) == {"vcpu": settings.SAVED}


def test_what_would_wait_is_refused_where_there_is_no_next_start() -> None:
    assert settings.impossible(Wanted(5, 300), machine(live(), kept=False), CAN).keys() == {"vcpu"}
    assert settings.impossible(Wanted(5, 300), machine(live()), CAN) == {}
