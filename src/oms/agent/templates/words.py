"""How a setting is refused: in words for people that name the value and what is legal. Pure."""

import json
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from oms.contract.kvm.templates import DiskRefusal

Word = TypeVar("Word", bound=str)
SHOWN: Final = 60


class Refused(Exception):
    """Why one setting is refused."""

    def __init__(self, told: str | list[DiskRefusal]) -> None:
        super().__init__(told)
        self.told = told


def one_of(noun: str, value: Any, legal: Sequence[Word]) -> Word:
    """The value, if it is one of these. Raises Refused."""
    for word in legal:
        if value == word:
            return word
    raise Refused(f"{noun} must be {' or '.join(legal)}, got {shown(value)}")


def shown(value: Any) -> str:
    """A caller's value, in one short line."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
