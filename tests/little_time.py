"""For input that is made to hurt: that it costs no more for its size than any other."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 20
"""Of the processor. What hurts takes minutes or for ever by its kind (squares, exponents): so this tells it apart
on any machine, beside anything else that runs there."""


@contextmanager
def little_time() -> Iterator[None]:
    """What is done within takes little time of the processor."""
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS
