"""Answers that must survive a broken line: kept until nats-server surely has them, then sent again if need be.

An answer counts as delivered two round trips after it was sent (the first may have begun before it). OMS takes
each answer once, so sending one again does no harm.
"""

import time
from collections import deque
from typing import NamedTuple


class Answer(NamedTuple):
    """One answer on its way."""

    subject: str
    payload: bytes
    headers: dict[str, str] | None
    until: float
    """time.monotonic() at which nobody waits for it any more."""


class Outbox:
    """Bounded in time, bytes and number: the oldest are given up first."""

    def __init__(self, *, keep_s: float, most_bytes: int, most_answers: int) -> None:
        self._keep_s, self._most_bytes, self._most_answers = keep_s, most_bytes, most_answers
        self._aging: deque[Answer] = deque()
        self._fresh: deque[Answer] = deque()
        self._bytes = 0

    def put(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> Answer:
        """Keep an answer that is being sent, or would be."""
        answer = Answer(subject, payload, headers, time.monotonic() + self._keep_s)
        self._fresh.append(answer)
        self._bytes += len(payload)
        while self._is_too_full():
            self._bytes -= len((self._aging or self._fresh).popleft().payload)
        return answer

    def _is_too_full(self) -> bool:
        number = len(self._aging) + len(self._fresh)
        return number > 1 and (self._bytes > self._most_bytes or number > self._most_answers)

    def round_trip(self) -> None:
        """nats-server has answered: what was there at the last time is delivered."""
        self._bytes -= sum(len(answer.payload) for answer in self._aging)
        self._aging, self._fresh = self._fresh, deque()

    def unconfirmed(self) -> list[Answer]:
        """What must be sent again on a new connection; what is too old is forgotten."""
        now = time.monotonic()
        self._fresh = deque(answer for answer in (*self._aging, *self._fresh) if answer.until > now)
        self._aging = deque()
        self._bytes = sum(len(answer.payload) for answer in self._fresh)
        return list(self._fresh)
