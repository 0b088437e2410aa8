"""JSON as the standard has it and no more: no NaN, no key twice, no lone surrogates, no depth above 32.

The standard library's C scanner does the work; what it lets through is refused here.
"""

import json
import math
import re
from typing import Any

DEEPEST = 32
# A string that never ends is taken up to the text's end, and nothing that was taken is given back: the time stays
# proportional to the length, whatever is sent.
_STRINGS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotJson(ValueError):
    """The text is not JSON, or is JSON of a kind that is refused; the message says which."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotJson("A key stands twice in one object.")
    return made


def _constant(name: str) -> Any:
    raise NotJson(f"{name} is not JSON.")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotJson("A number is too large.")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_number)


def loads(text: bytes | str) -> Any:
    """The value. Raises NotJson."""
    try:
        if isinstance(text, bytes):
            text = text.decode()
        else:
            text.encode()  # refuses half a surrogate pair
        _refuse_depth(text)
        value = _decoder.decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except NotJson:
        raise
    except UnicodeError:
        raise NotJson("The text is not UTF-8, or holds half a surrogate pair.") from None
    except (ValueError, RecursionError):
        raise NotJson("The text is not JSON.") from None
    return value


def _refuse_depth(text: str) -> None:
    """Found before parsing: the scanner is recursive. Most texts have too few brackets to be looked at.

    Of the rest the innermost pairs are taken away, level by level; what is left then was too deep or never closed.
    """
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    brackets = _STRINGS.sub("", text).encode().translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(DEEPEST):
        brackets = brackets.replace(b"[]", b"")
    if b"[]" in brackets or brackets.count(b"[") > DEEPEST:
        raise NotJson(f"Nested deeper than {DEEPEST} levels.")
