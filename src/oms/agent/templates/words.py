"""How a setting or a template is refused: in words for people that name it and what is legal. Pure."""

import json
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from oms.agent.templates.appliance import BadPackage
from oms.contract.errors import AlreadyThere, NotThere, Unusable
from oms.contract.kvm.templates import DiskRefusal

Word = TypeVar("Word", bound=str)
SHOWN: Final = 60


class Refused(Exception):
    """Why one setting is refused."""

    def __init__(self, told: str | list[DiskRefusal]) -> None:
        super().__init__(told)
        self.told = told


def unusable(template: str, bad: BadPackage) -> Unusable:
    """A template was looked at, and is none."""
    return Unusable(f"Template {template!r} is refused: {bad}", template=template)


def not_there(template: str) -> NotThere:
    """None of that name is here."""
    return NotThere(
        f"There is no template {template!r} here; list_templates shows those there are", template=template
    )


def taken(template: str) -> AlreadyThere:
    """The name of a new one is another's."""
    return AlreadyThere(f"There is a template {template!r} already: choose another name", template=template)


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
