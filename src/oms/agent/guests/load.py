"""CPU load from two readings of a counter: how much of the time between them a machine used."""

from dataclasses import dataclass

SHORTEST_NS = 1_000_000_000  # below a second the kernel's 10 ms ticks show more than the machine does


@dataclass(frozen=True, slots=True)
class _Reading:
    at_ns: int
    used_ns: int


@dataclass(frozen=True, slots=True)
class _Pair:
    older: _Reading | None
    newer: _Reading


class CpuLoad:
    """Remembers per machine what the load is reckoned from: a reading at least a second old where there is one."""

    def __init__(self) -> None:
        self._known: dict[str, _Pair] = {}

    def percent(self, uuid: str, *, used_ns: int, vcpus: int, at_ns: int) -> float | None:
        """Load since about the last question, 0 to 100 of all CPUs; None at the first.

        `used_ns` is the time that the machine's CPUs ran since its start, `at_ns` the time of the reading.
        """
        reading = _Reading(at_ns, used_ns)
        known = self._known.get(uuid)
        if known is None or used_ns < known.newer.used_ns:  # started anew in between
            self._known[uuid] = _Pair(None, reading)
            return None
        if at_ns - known.newer.at_ns >= SHORTEST_NS:
            since = known.newer
            self._known[uuid] = _Pair(since, reading)
        else:
            since = known.older or known.newer
        passed_ns = (at_ns - since.at_ns) * max(vcpus, 1)
        if passed_ns <= 0:
            return None
        return min(100.0, 100 * (used_ns - since.used_ns) / passed_ns)

    def forget_all_but(self, uuids: set[str]) -> None:
        """Drop what is known of machines that do not run any more."""
        self._known = {uuid: pair for uuid, pair in self._known.items() if uuid in uuids}
