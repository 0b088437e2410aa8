"""Clocks that a test moves, in the place of the module `time` of single modules."""

import time
from dataclasses import dataclass, field

import pytest


@dataclass
class Clock:
    """Both clocks of a machine. `pass_` moves both; `set_back` moves the wall's alone, as a person would."""

    wall: float = field(default_factory=time.time)
    ticks: float = field(default_factory=time.monotonic)

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds

    def set_back(self, seconds: float) -> None:
        self.wall -= seconds


def put(monkeypatch: pytest.MonkeyPatch, *modules: str) -> Clock:
    """A clock for these modules alone; the loop's goes on."""
    clock = Clock()
    for module in modules:
        monkeypatch.setattr(f"{module}.time", clock)
    return clock
