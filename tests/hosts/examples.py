"""The examples of the API's reference: calls that tests here really make, with what a real OMS answers to them.

Each stands in docs/reference/examples.json with the file of tests in which it is made. `OMS_GOLDEN=rewrite pytest
tests/hosts/test_wire_*.py` writes them anew; then read the difference.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oms.contract.decode import decode, find
from oms.contract.errors import OmsError
from oms.contract.registry import BY_WIRE

FILE = Path(__file__).parents[2] / "docs" / "reference" / "examples.json"
REWRITE = os.environ.get("OMS_GOLDEN") == "rewrite"
MOST_PARTS, MOST_CHARACTERS = 3, 120
"""Of what is long the beginning is shown."""

Example = dict[str, Any]

_DIGITS = "0123456789abcdef" * 8
_OTHER_EACH_TIME: tuple[tuple[str, str], ...] = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-01T12:00:00.000Z"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "3c7a0f5e-1d2b-4c68-9a07-5be1d4f2a913"),
    (r"\b[0-9A-F]{40}\b", _DIGITS[:40].upper()),
    *((rf"\b[0-9a-f]{{{length}}}\b", _DIGITS[:length]) for length in (16, 32, 40, 64)),
    (r"\boms_[A-Za-z0-9_-]{20,}", "oms_TOKEN"),
    (r"(ssh-ed25519|ssh-rsa|ecdsa-\S+) [A-Za-z0-9+/=]{40,}", r"\1 AAAA…"),
    (r"#share=\S+", "#share=KEY"),
    (r'"timestamp":\d+', '"timestamp":1767268800'),
    (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:…"),
    (r"/(tmp|var/tmp|dev/shm)/\S*?/storage/", "/var/lib/oms-agent/storage/"),
    (r"/(tmp|var/tmp|dev/shm)/[^\s\"':]*/", "/srv/"),
    (r"omstest-\d+-loop\d+", "group"),
    (re.escape(os.uname().release), "6.1.0-32-amd64"),
    (r"\b198\.18\.\d+\.\d+\b", "198.51.100.1"),
    (r"http://127\.0\.0\.1:\d+/a\.iso", "https://mirror.example/file"),
    (r"127\.0\.0\.1:\d{4,5}\b", "127.0.0.1:8000"),
)


def settled(value: Any) -> Any:
    """A value without what is another one at each run: times, ids, keys and places."""
    if isinstance(value, dict):
        return {settled(name): settled(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [settled(part) for part in value]
    if not isinstance(value, str):
        return value
    for wanted, instead in _OTHER_EACH_TIME:
        value = re.sub(wanted, instead, value)
    return value


def shown(value: Any) -> Any:
    """The beginning of what is long."""
    if isinstance(value, dict):
        return {name: shown(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shown(part) for part in value[:MOST_PARTS]]
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        return value[:MOST_CHARACTERS] + "…"
    return value


def load() -> dict[str, Example]:
    """All, by their methods' names."""
    found: dict[str, Example] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def inner(result: Any) -> Any:
    """What a method answered, out of its envelopes."""
    answer = result["result"]
    return answer["result"] if isinstance(answer, dict) and set(answer) == {"client", "result"} else answer


def alike(one: Any, other: Any) -> bool:
    """Whether two answers say the same kind of thing; how many there are of it is another matter."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(alike(one[name], other[name]) for name in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return not (one and other) or alike(one[0], other[0])
    return type(one) is type(other) or None in (one, other)


def same_call(one: list[Any], other: list[Any]) -> bool:
    """Whether the parameters are the same, but for numbers, as ports, and settings, which a host may propose."""
    return len(one) == len(other) and all(
        alike(part, known) if isinstance(part, (dict, int)) else part == known
        for part, known in zip(one, other, strict=True)
    )


def _says_little(call: tuple[str, list[Any], Any]) -> bool:
    """A question is best shown with an answer that is not empty, a change with one that nothing was refused."""
    name, _, result = call
    answer = inner(result)
    return bool(answer) and isinstance(answer, dict) if BY_WIRE[name].facts.changes else answer in ([], {}, "")


class Witness:
    """What the files of tests have called, and what was answered."""

    def __init__(self) -> None:
        self.calls: dict[str, list[tuple[str, list[Any], Any]]] = {}
        self.file = ""
        """Whose tests run now."""

    def saw(self, service: str, method: str, params: Any, result: Any) -> None:
        """A call that was answered with a result, parameters and all."""
        try:
            kind = find(service, method)
            decode(kind, list(params))
        except OmsError:
            return  # what is no call of the API is no example of it
        own = list(params)[len(kind.front) :]
        self.calls.setdefault(self.file, []).append((kind.facts.wire, settled(own), settled(result)))

    def faults(self, file: str, known: dict[str, Example]) -> Iterator[str]:
        """What is not so of the examples that are said to be made in a file of tests."""
        for name, example in known.items():
            if example["file"] != file:
                continue
            wanted = example["params"]
            answers = [
                result for wire, own, result in self.calls.get(file, ()) if wire == name and same_call(own, wanted)
            ]
            if not answers:
                yield f"{name}: no test calls it with {wanted}"
            elif not any(alike(answer, example["result"]) for answer in answers):
                yield f"{name}: its answers are of another kind than the example"

    def rewrite(self, file: str) -> None:
        """Make examples of what was seen, and write them down."""
        known = {name: example for name, example in load().items() if example["file"] != file}
        for name, own, result in sorted(self.calls.get(file, ()), key=_says_little):
            known.setdefault(name, {"file": file, "params": own, "result": shown(result)})
        text = json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False)
        FILE.write_text(text + "\n", encoding="utf-8")


WITNESS = Witness()
"""It sees all that this process calls: a file's tests may be set up anew for one of them that is tried again."""
