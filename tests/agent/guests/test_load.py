"""CPU load is what was used between two readings, of what could have been."""

import pytest

from oms.agent.guests.load import CpuLoad

S = 1_000_000_000


def test_the_first_question_has_no_answer_and_the_second_has() -> None:
    load = CpuLoad()
    assert load.percent("a", used_ns=5 * S, vcpus=2, at_ns=100 * S) is None
    assert load.percent("a", used_ns=6 * S, vcpus=2, at_ns=102 * S) == pytest.approx(25)


def test_questions_close_together_are_reckoned_from_an_older_reading() -> None:
    load = CpuLoad()
    load.percent("a", used_ns=0, vcpus=1, at_ns=0)
    load.percent("a", used_ns=S, vcpus=1, at_ns=2 * S)
    # A tick of 10 ms within 10 ms would be 100 %; since the reading of 2 s before it is 50.
    assert load.percent("a", used_ns=S + S // 100, vcpus=1, at_ns=2 * S + S // 100) == pytest.approx(50, abs=1)


def test_a_machine_that_was_started_anew_begins_anew() -> None:
    load = CpuLoad()
    load.percent("a", used_ns=50 * S, vcpus=1, at_ns=0)
    assert load.percent("a", used_ns=S, vcpus=1, at_ns=10 * S) is None
    assert load.percent("a", used_ns=2 * S, vcpus=1, at_ns=12 * S) == pytest.approx(50)


def test_it_is_never_more_than_all() -> None:
    load = CpuLoad()
    load.percent("a", used_ns=0, vcpus=1, at_ns=0)
    assert load.percent("a", used_ns=3 * S, vcpus=1, at_ns=2 * S) == 100


def test_no_time_between_readings_is_no_answer() -> None:
    load = CpuLoad()
    load.percent("a", used_ns=1, vcpus=1, at_ns=7)
    assert load.percent("a", used_ns=1, vcpus=1, at_ns=7) is None


def test_machines_that_ended_are_forgotten() -> None:
    load = CpuLoad()
    load.percent("a", used_ns=S, vcpus=1, at_ns=0)
    load.percent("b", used_ns=S, vcpus=1, at_ns=0)
    load.forget_all_but({"b"})
    assert load.percent("a", used_ns=2 * S, vcpus=1, at_ns=2 * S) is None
    assert load.percent("b", used_ns=2 * S, vcpus=1, at_ns=2 * S) == pytest.approx(50)
