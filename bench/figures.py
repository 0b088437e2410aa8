"""Pairs of measurements, the ratio they make, and whether it is as good as it should be."""

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

PAIRS = 7
CROWDED = 2.0
"""Processes that want a CPU, for each that there is: with more, figures scatter, and twice as many are taken."""
HEAD = f"{'':48} {'ratio':>7}  {'lowest to highest':18} {'goal':8} {'verdict':12} {'ours / theirs':28} load"


@dataclass(frozen=True)
class Goal:
    """What a ratio should be: at most, or at least, so much."""

    sign: Literal["<=", ">="]
    bound: float

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"

    def met(self, ratio: float) -> bool:
        return ratio <= self.bound if self.sign == "<=" else ratio >= self.bound


@dataclass(frozen=True)
class Pairs:
    """What was measured of OMS and of what stands beside it, pair by pair."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        return [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]


def pairs(ours: Callable[[], float], theirs: Callable[[], float], count: int = PAIRS) -> Pairs:
    """Both in turn, each first as often as the other: what else the machine does falls on both alike."""
    found = Pairs([], [])
    crowded = os.getloadavg()[0] > CROWDED * (os.cpu_count() or 1)
    for number in range(count * 2 + 1 if crowded else count):
        first = [(found.ours, ours), (found.theirs, theirs)]
        for figures, measure in first if number % 2 == 0 else reversed(first):
            figures.append(measure())
    return found


def line(title: str, found: Pairs, goal: Goal | None, unit: str) -> str:
    """One line: the median of the ratios, their spread, and in how many pairs the goal was met."""
    ratios = found.ratios
    ratio, spread = statistics.median(ratios), f"{_ratio(min(ratios))} to {_ratio(max(ratios))}"
    verdict = ""
    if goal is not None:
        verdict = f"{'met' if goal.met(ratio) else 'MISSED'} {sum(map(goal.met, ratios))}/{len(ratios)}"
    load = os.getloadavg()[0]
    both = f"{_figure(statistics.median(found.ours))} / {_figure(statistics.median(found.theirs))} {unit}"
    return f"{title:48} {_ratio(ratio):>7}  {spread:18} {goal or ''!s:8} {verdict:12} {both:28} {load:.1f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def say(title: str, found: Pairs, goal: Goal | None, unit: str) -> None:
    print(line(title, found, goal, unit), flush=True)


def times_ms(act: Callable[[], object], seconds: float, now: Callable[[], float]) -> list[float]:
    """What it took each time, again and again for so long."""
    end, took = now() + seconds, []
    while (began := now()) < end:
        act()
        took.append((now() - began) * 1000)
    return took
