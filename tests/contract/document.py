"""The API document of 2011 as data: what its clients send and what they expect.

`document_2011.json` holds every method of it: the query strings as printed, the answers (where the print was
damaged, repaired), parameter names and error names. What is declared so far is held to it; the rest waits there
for its service.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from oms.contract.operation import Operation
from oms.contract.registry import BY_WIRE

_TEXT = json.loads((Path(__file__).parent / "document_2011.json").read_text(encoding="utf-8"))
GENERAL_ERRORS: list[str] = _TEXT["general_errors"]


class Documented(msgspec.Struct, frozen=True):
    """One method as the document has it."""

    service: str
    method: str
    parameters: list[str]
    queries: list[str]
    answer: dict[str, Any] | None
    errors: list[str]

    def __str__(self) -> str:
        return f"{self.service}.{self.method}"

    @property
    def declared(self) -> type[Operation[Any]]:
        return BY_WIRE[str(self)]


ALL = msgspec.convert(_TEXT["methods"], list[Documented])
METHODS = [method for method in ALL if str(method) in BY_WIRE]
"""Those that are declared."""
