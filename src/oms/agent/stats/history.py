"""What is remembered of this host: seconds for ten minutes in memory, minutes for a day and quarters of an hour
for 31 days on disk.

A step that is not over is written down once a minute as far as it has come, and gone on with by the next start.
"""

import math
from collections import deque
from pathlib import Path

from oms.agent.stats.ring import Ring, Slot

SECONDS_KEPT = 600
MINUTE, QUARTER = 60, 900
KEPT = {1: SECONDS_KEPT, MINUTE: 1440, QUARTER: 31 * 96}
"""How many steps of each length, in seconds, are remembered."""
Due = list[tuple[int, Slot]]
"""Steps that are to be written down, each with its length."""
Figures = tuple[float, ...]
"""A value for each name of a history, in its order; NaN where it is not known."""
Steps = dict[int, tuple[Figures, Figures]]
"""Averages and highest values, by when their steps began."""


class Gathering:
    """The averages and the highest values of a step that is not over yet."""

    def __init__(self, figures: int, step_seconds: int) -> None:
        self._figures, self.step_seconds = figures, step_seconds
        self.begin = 0
        self.clear(0)

    def clear(self, begin: int) -> None:
        """Begin a step."""
        self.begin = begin
        self._counts = [0] * self._figures
        self._sums = [0.0] * self._figures
        self._highest = [math.nan] * self._figures

    def go_on(self, slot: Slot) -> None:
        """Begin where an earlier run stood."""
        self.clear(slot.begin)
        for place, (average, highest) in enumerate(zip(slot.average, slot.highest, strict=True)):
            if not math.isnan(average):
                self._counts[place] = slot.count
                self._sums[place] = average * slot.count
                self._highest[place] = highest

    def add(self, figures: Figures) -> None:
        """One more measurement."""
        for place, value in enumerate(figures):
            if not math.isnan(value):
                self._counts[place] += 1
                self._sums[place] += value
                if not self._highest[place] >= value:  # NaN is neither
                    self._highest[place] = value

    def slot(self) -> Slot | None:
        """The step as far as it has come; None where nothing was measured."""
        if not any(self._counts):
            return None
        averages = (
            total / count if count else math.nan for total, count in zip(self._sums, self._counts, strict=True)
        )
        return Slot(self.begin, max(self._counts), tuple(averages), tuple(self._highest))


class History:
    """All of it. What is written and read blocks for as long as the disk does; `add` never does."""

    def __init__(self, directory: Path, names: tuple[str, ...]) -> None:
        """Goes on with what is kept in an existing directory. Raises OSError."""
        self.names = names
        self._seconds: deque[tuple[int, Figures]] = deque(maxlen=SECONDS_KEPT)
        self._rings = {
            step: Ring(directory / f"history.{step}s", names, step, kept)
            for step, kept in KEPT.items()
            if step > 1
        }
        self._gathering = {step: Gathering(len(names), step) for step in self._rings}

    def add(self, time: float, figures: Figures) -> Due:
        """One measurement, at so many seconds since 1970. Answers what is to be written down now with `write`: on
        each new minute all steps as far as they have come."""
        second = int(time)
        self._seconds.append((second, figures))
        due: Due = []
        if self._gathering[MINUTE].begin != second // MINUTE * MINUTE:
            due = self.unwritten()
        for step, gathering in self._gathering.items():
            begin = second // step * step
            if gathering.begin != begin:
                gathering.clear(begin)
            gathering.add(figures)
        return due

    def unwritten(self) -> Due:
        """The steps that are not over, as far as they have come."""
        return [(step, slot) for step, gathering in self._gathering.items() if (slot := gathering.slot())]

    def write(self, due: Due) -> None:
        """Write down what `add` or `unwritten` answered. Raises OSError."""
        for step, slot in due:
            self._rings[step].write(slot)

    def go_on(self, time: float) -> None:
        """Take up the steps that an earlier run left unfinished. Raises OSError."""
        for step, ring in self._rings.items():
            if (slot := ring.at(int(time) // step * step)) is not None:
                self._gathering[step].go_on(slot)

    def close(self) -> None:
        """Give the files back."""
        for ring in self._rings.values():
            ring.close()

    def steps(self, step_seconds: int, first: int, last: int) -> Steps:
        """Averages and highest values by the time at which their steps began, from `first` to `last`. Raises
        OSError."""
        if step_seconds == 1:
            return {
                second: (figures, figures) for second, figures in tuple(self._seconds) if first <= second <= last
            }
        found = {
            slot.begin: (slot.average, slot.highest) for slot in self._rings[step_seconds].between(first, last)
        }
        slot = self._gathering[step_seconds].slot()
        if slot is not None and first <= slot.begin <= last:
            found[slot.begin] = slot.average, slot.highest
        return found


def step_for(seconds: int) -> int:
    """The finest step that is kept for so long."""
    return next((step for step, kept in KEPT.items() if seconds <= step * kept), QUARTER)
