"""What is remembered, on a real disk: steps, restarts, crashes, clocks."""

import math
import os
from pathlib import Path

import pytest

from oms.agent.stats.history import MINUTE, QUARTER, History, step_for
from oms.agent.stats.ring import Ring, Slot

NAMES = ("cpu", "sent")
NOON = 1_800_000_000 // QUARTER * QUARTER


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path, NAMES)


def lived(history: History, first: int, last: int, value: float = 1.0) -> None:
    for second in range(first, last):
        if due := history.add(second + 0.25, (value, math.nan)):
            history.write(due)


def test_a_minute_has_the_average_and_the_highest_of_its_seconds(history: History) -> None:
    for second in range(60):
        history.add(NOON + second, (float(second), 2.0 if second == 7 else math.nan))
    (average, highest) = history.steps(MINUTE, NOON, NOON)[NOON]
    assert (average, highest) == ((29.5, 2.0), (59.0, 2.0))


def test_seconds_are_kept_for_ten_minutes_and_minutes_for_a_day(history: History) -> None:
    lived(history, NOON, NOON + 1200)
    assert len(history.steps(1, NOON, NOON + 1200)) == 600
    assert sorted(history.steps(MINUTE, NOON, NOON + 1200)) == list(range(NOON, NOON + 1200, MINUTE))
    assert [step_for(back) for back in (1, 600, 601, 86_400, 86_401, 31 * 86_400)] == [1, 1, 60, 60, 900, 900]


def test_a_restart_keeps_minutes_and_goes_on_with_the_step_that_was_not_over(tmp_path: Path) -> None:
    before = History(tmp_path, NAMES)
    lived(before, NOON, NOON + 90, value=10.0)
    before.write(before.unwritten())
    before.close()
    history = History(tmp_path, NAMES)
    history.go_on(NOON + 100)
    lived(history, NOON + 100, NOON + 120, value=40.0)
    steps = history.steps(MINUTE, NOON, NOON + MINUTE)
    assert steps[NOON][0][0] == 10.0
    assert steps[NOON + MINUTE][0][0] == pytest.approx((30 * 10 + 20 * 40) / 50)
    assert history.steps(QUARTER, NOON, NOON)[NOON][1][0] == 40.0


def test_a_killed_agent_loses_a_minute_at_most(tmp_path: Path) -> None:
    lived(History(tmp_path, NAMES), NOON, NOON + 179)
    assert sorted(History(tmp_path, NAMES).steps(MINUTE, NOON, NOON + 300)) == [NOON, NOON + 60]


def test_files_never_grow(tmp_path: Path, history: History) -> None:
    sizes = {path: path.stat().st_size for path in tmp_path.iterdir()}
    assert sum(sizes.values()) < 300_000
    for day in range(40):
        lived(history, NOON + day * 86_400, NOON + day * 86_400 + 61)
    assert {path: path.stat().st_size for path in tmp_path.iterdir()} == sizes
    assert len(history.steps(QUARTER, 0, NOON * 2)) == 31


def test_a_step_that_was_torn_in_two_is_one_that_was_not_measured(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", NAMES, MINUTE, 5)
    for number in range(3):
        ring.write(Slot(NOON + number * MINUTE, 60, (1.0, 2.0), (3.0, 4.0)))
    ring.close()
    place = (tmp_path / "ring").read_bytes().index((NOON + MINUTE).to_bytes(8, "little")) + 20
    with (tmp_path / "ring").open("r+b") as file:
        file.seek(place)
        file.write(b"torn")
    ring = Ring(tmp_path / "ring", NAMES, MINUTE, 5)
    assert sorted(slot.begin for slot in ring.between(0, NOON * 2)) == [NOON, NOON + 2 * MINUTE]
    assert ring.at(NOON + MINUTE) is None


@pytest.mark.parametrize("content", [b"", b"oms history 0\n", os.urandom(3000)])
def test_a_file_of_another_make_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / f"history.{MINUTE}s"
    path.write_bytes(content)
    history = History(tmp_path, NAMES)
    lived(history, NOON, NOON + 61)
    assert list(History(tmp_path, NAMES).steps(MINUTE, NOON, NOON)) == [NOON]


def test_a_clock_that_was_wrong_leaves_no_false_steps(history: History) -> None:
    lived(history, NOON + 900_000_000, NOON + 900_000_061)
    lived(history, NOON, NOON + 61)
    assert list(history.steps(MINUTE, NOON - 86_400, NOON + 60)) == [NOON, NOON + 60]
