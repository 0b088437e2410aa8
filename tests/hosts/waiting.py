"""Waiting for what other processes do in their own time."""

import time
from collections.abc import Callable
from typing import Any


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """What it answers, as soon as that is true; fails when so many seconds are over."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"did not come true within {seconds:g} s"
        time.sleep(0.02)
    return found
