"""How busy something is that does nothing: a load that rises and falls, told for any moment. Pure."""

import math
from random import Random

import msgspec

_QUICK = 7.0
"""The small waves on the large one: so many to each."""
_SHARE = 0.75
"""Of the swing, the large wave's."""


class Rhythm(msgspec.Struct, frozen=True):
    """A load about `mean`, from `mean - swing` to `mean + swing`, once in `period` seconds; shares of a whole."""

    mean: float = 0.0
    swing: float = 0.0
    period: float = 3600.0
    phase: float = 0.0

    def at(self, moment: float) -> float:
        """The load at so many seconds since 1970."""
        turn = math.tau * moment / self.period
        wave = _SHARE * math.sin(turn + self.phase) + (1 - _SHARE) * math.sin(_QUICK * turn + self.phase)
        return self.mean + self.swing * wave

    def seconds(self, begin: float, end: float) -> float:
        """How much was done between two moments: seconds at full load."""
        return max(0.0, self.mean * (end - begin) + self.swing * (self._risen(end) - self._risen(begin)))

    def _risen(self, moment: float) -> float:
        turn, rate = math.tau * moment / self.period, math.tau / self.period
        large = -_SHARE * math.cos(turn + self.phase) / rate
        return large - (1 - _SHARE) * math.cos(_QUICK * turn + self.phase) / (rate * _QUICK)


STILL = Rhythm()


def of(chance: Random, busiest: float) -> Rhythm:
    """Any rhythm that never goes beyond that load."""
    mean = busiest * chance.triangular(0.05, 0.9, 0.2)
    swing = 0.9 * min(mean, busiest - mean)
    return Rhythm(mean, swing, chance.uniform(600, 7200), chance.uniform(0, math.tau))
