"""Settings are judged all at once, with words that say what is legal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.given import whole_number
from oms.agent.guests import Capacity, Definition, Machine
from oms.agent.kvm import limits
from oms.agent.kvm.limits import Limits, Wanted

MB = 1024
LIMITS = Limits(min_vcpus=1, max_vcpus=4, min_memory_mb=32, max_memory_mb=4096)
CAPACITY = Capacity(cpus=4, max_vcpus=16, available_memory_kb=4096 * MB + 1023)


def defined(
    vcpus: int = 1, memory_mb: int = 512, *, pinned: bool = False, max_vcpus: int = 0, max_memory_mb: int = 0
) -> Definition:
    return Definition(
        vcpus=vcpus,
        max_vcpus=max_vcpus or vcpus,
        memory_kb=memory_mb * MB,
        max_memory_kb=(max_memory_mb or memory_mb) * MB,
        vcpus_pinned=pinned,
        memory_pinned=pinned,
        balloon=True,
        disks=(),
        nics=(),
    )


def machine(kept: Definition | None = None, live: Definition | None = None) -> Machine:
    return Machine("u", "n", "running" if live else "shutdown", live, kept)


def test_a_host_gives_its_cpus_and_the_memory_it_has_to_give() -> None:
    assert limits.of_host(CAPACITY) == Limits(1, 4, 32, 4096)


def test_the_hypervisors_own_maximum_counts_where_it_is_less() -> None:
    assert limits.of_host(Capacity(cpus=64, max_vcpus=16, available_memory_kb=0)) == Limits(1, 16, 32, 32)


def test_a_running_machine_may_keep_what_it_holds() -> None:
    legal = limits.of_machine(machine(defined(), defined(memory_mb=1000)), CAPACITY)
    assert legal.max_memory_mb == 5096


def test_what_a_machine_has_is_always_legal() -> None:
    for kept in (defined(vcpus=9, memory_mb=9999), defined(memory_mb=16)):
        now = {"vcpu": kept.vcpus, "memory": kept.memory_kb // MB}
        assert limits.refused(now, limits.of_machine(machine(kept), CAPACITY)) == {}


def test_what_is_laid_out_cannot_grow() -> None:
    kept = defined(vcpus=1, max_vcpus=2, memory_mb=256, max_memory_mb=512, pinned=True)
    legal = limits.of_machine(machine(kept), CAPACITY)
    assert (legal.max_vcpus, legal.max_memory_mb) == (2, 512)


def test_a_machine_that_is_not_kept_is_judged_as_it_runs() -> None:
    assert limits.of_machine(machine(None, defined(vcpus=7)), CAPACITY).max_vcpus == 7


@pytest.mark.parametrize(
    ("settings", "refusals"),
    [
        ({}, {}),
        ({"vcpu": "2", "memory": 1024}, {}),
        ({"vcpu": 1, "memory": "0032"}, {}),
        ({"memory": 99999}, {"memory": "Memory must be between 32 and 4096 MB, got 99999"}),
        ({"memory": "31"}, {"memory": "Memory must be between 32 and 4096 MB, got 31"}),
        ({"vcpu": "0"}, {"vcpu": "CPU count must be between 1 and 4, got 0"}),
        ({"vcpu": -1}, {"vcpu": "CPU count must be between 1 and 4, got -1"}),
        ({"vcpu": 5, "memory": 512}, {"vcpu": "CPU count must be between 1 and 4, got 5"}),
        ({"cpu": 1}, {"cpu": "There is no such setting; there are memory and vcpu"}),
        (
            {"VCPU": 1, "memory": "x"},
            {
                "VCPU": "There is no such setting; there are memory and vcpu",
                "memory": "Memory must be between 32 and 4096 MB, got 'x'",
            },
        ),
    ],
)
def test_refusals(settings: dict[str, str | int], refusals: dict[str, str]) -> None:
    assert limits.refused(settings, LIMITS) == refusals


@pytest.mark.parametrize(
    "value",
    [
        "1_000",
        " 12 ",
        "12 ",
        "²",
        "+2",
        "2.0",
        "",
        "１２",
        "٣",
        "0x10",
        "1e3",
        "-1",
        "1\n",
        "\n1",
        "true",
        "1" * 19,
        "9" * 5000,
    ],
)
def test_only_plain_digits_are_a_number(value: str) -> None:
    assert whole_number(value) is None
    text = limits.refused({"memory": value}, LIMITS)["memory"]
    assert text.startswith("Memory must be between 32 and 4096 MB, got ")
    assert len(text) < 120
    assert text.isprintable()


def test_absurd_numbers_are_refused_in_few_words() -> None:
    # The last has more digits than Python would write out.
    for value in (True, False, 10**30, -(10**30), 10**5000):
        assert len(limits.refused({"vcpu": value}, LIMITS)["vcpu"]) < 120


@given(st.dictionaries(st.text(max_size=64), st.text() | st.integers(), max_size=8))
def test_every_setting_is_either_refused_or_a_number_within_the_limits(settings: dict[str, str | int]) -> None:
    refusals = limits.refused(settings, LIMITS)
    assert refusals.keys() <= settings.keys()
    for name, value in settings.items():
        if name not in refusals:
            assert name in {"vcpu", "memory"}
            number = int(value)
            assert (1 <= number <= 4) if name == "vcpu" else (32 <= number <= 4096)


@given(st.integers(1, 4), st.integers(32, 4096))
def test_a_number_and_its_digits_are_the_same_setting(vcpus: int, memory_mb: int) -> None:
    assert limits.wanted({"vcpu": vcpus, "memory": memory_mb}) == Wanted(vcpus, memory_mb)
    assert limits.wanted({"vcpu": str(vcpus), "memory": str(memory_mb)}) == Wanted(vcpus, memory_mb)
    assert limits.wanted({}) == Wanted(None, None)
