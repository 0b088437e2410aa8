"""JSON from strangers: only what the standard has, in bounded time."""

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.server.edge import strictjson
from oms.server.edge.strictjson import DEEPEST, NotJson, loads
from tests.little_time import little_time

MIB = 1024 * 1024

REFUSED = {
    "NaN": ("[NaN]", "NaN is not JSON."),
    "Infinity": ("[Infinity]", "Infinity is not JSON."),
    "minus Infinity": ("[-Infinity]", "-Infinity is not JSON."),
    "1e999": ("[1e999]", "A number is too large."),
    "-1e999": ("[-1e999]", "A number is too large."),
    "a key twice": ('{"a": 1, "a": 2}', "A key stands twice in one object."),
    "a key twice, once escaped": ('{"a": 1, "\\u0061": 2}', "A key stands twice in one object."),
    "a key twice, inside": ('[{"b": {"a": 1, "a": 1}}]', "A key stands twice in one object."),
    "a high surrogate alone": ('["\\ud800"]', "half a surrogate pair"),
    "a low surrogate alone": ('["\\uDFFF"]', "half a surrogate pair"),
    "surrogates the wrong way round": ('["\\udc00\\ud800"]', "half a surrogate pair"),
    "half a pair, then text": ('["\\ud83d x"]', "half a surrogate pair"),
    "a surrogate in a key": ('{"\\ud800": 1}', "half a surrogate pair"),
    "a surrogate as itself": ('["\ud800"]', "half a surrogate pair"),
    "a surrogate as bytes": (b'["\xed\xa0\x80"]', "not UTF-8"),
    "no UTF-8": (b'["\xff"]', "not UTF-8"),
    "Latin-1": ('["é"]'.encode("latin-1"), "not UTF-8"),
    "UTF-16": ("[1]".encode("utf-16"), "not UTF-8"),
    "a byte order mark": ("\ufeff[1]".encode(), "The text is not JSON."),
    "33 lists": ("[" * 33 + "]" * 33, "Nested deeper than 32 levels."),
    "33 objects": ('{"a":' * 33 + "1" + "}" * 33, "Nested deeper than 32 levels."),
    "lists and objects, 34": ('[{"a":' * 17 + "1" + "}]" * 17, "Nested deeper than 32 levels."),
    "1,000 lists": ("[" * 1000 + "]" * 1000, "Nested deeper than 32 levels."),
    "100,000 lists": ("[" * 100_000 + "]" * 100_000, "Nested deeper than 32 levels."),
    "100,000 open objects": ('{"a":' * 100_000, "Nested deeper than 32 levels."),
    "33 levels after a list of strings": ('["\\\\","\\"",' + "[" * 32 + "]" * 33, "Nested deeper than 32 levels."),
    "5,000 digits": ("[" + "9" * 5000 + "]", "The text is not JSON."),
    "nothing": ("", "The text is not JSON."),
    "a word": ("hello", "The text is not JSON."),
    "two values": ("1 2", "The text is not JSON."),
    "a comma too many": ("[1,]", "The text is not JSON."),
    "single quotes": ("['a']", "The text is not JSON."),
    "a comment": ("[1] // one", "The text is not JSON."),
    "a line feed in a string": ('["a\nb"]', "The text is not JSON."),
    "a date of qooxdoo's": ("[new Date(Date.UTC(2006,5,20))]", "The text is not JSON."),
    "a leading zero": ("[012]", "The text is not JSON."),
    "a plus": ("[+1]", "The text is not JSON."),
    "hexadecimal": ("[0x10]", "The text is not JSON."),
    "a string that does not end": ('["a', "The text is not JSON."),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_is_refused_and_says_why(text: str | bytes, why: str) -> None:
    with pytest.raises(NotJson, match=why.replace(".", r"\.").replace("-", r"\-")) as refused:
        loads(text)
    assert len(str(refused.value)) < 100, "what was sent is not repeated"


TAKEN: dict[str, tuple[str | bytes, Any]] = {
    "a whole pair": ('["\\ud83d\\ude00"]', ["\U0001f600"]),
    "a backslash, then ud800": ('["\\\\ud800"]', ["\\ud800"]),
    "32 lists": ("[" * 31 + "[]" + "]" * 31, None),
    "UTF-8": ('["ÄÖ😀"]'.encode(), ["ÄÖ😀"]),
    "NaN in a string": ('["NaN"]', ["NaN"]),
    "the same key in two objects": ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    "4,300 digits": ("9" * 4300, None),
    "the largest number": ("1.7976931348623157e308", 1.7976931348623157e308),
    "next to nothing": ("1e-999", 0.0),
    "no container": ("null", None),
    "space around": (" \t\r\n[1] \n", [1]),
}


@pytest.mark.parametrize(("text", "value"), TAKEN.values(), ids=TAKEN)
def test_is_taken(text: str | bytes, value: Any) -> None:
    got = loads(text)
    assert got == (json.loads(text) if value is None else value)


def test_depth_is_counted_to_the_level() -> None:
    assert loads("[" * DEEPEST + "]" * DEEPEST)
    with pytest.raises(NotJson):
        loads("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))


def test_many_lists_side_by_side_are_not_deep() -> None:
    assert loads("[" + ",".join(["[]"] * 1000) + "]") == [[]] * 1000


# Each of about a mebibyte, the most that a body may be. Some are refused, some are not: either must be quick.
HEAVY = {
    "brackets in a string": '["' + "[" * MIB + '"]',
    "brackets": "[" * MIB,
    "objects": '{"":' * (MIB // 4),
    "escaped quotes": '["' + '\\"' * (MIB // 2) + '"' + "[" * 40,
    "escaped quotes without an end": "[" * 33 + '"' + '\\"' * (MIB // 2),
    "backslashes without an end": "[]" * 33 + '"' + "\\" * MIB,
    "odd backslashes without an end": "[]" * 33 + '"' + "\\" * (MIB + 1),
    "a string without an end": "[]" * 33 + '"' + "a" * MIB,
    "quotes": "[]" * 33 + '"' * MIB,
    "surrogate escapes": '["' + "\\ud800" * (MIB // 6) + '"]',
    "a number": "9" * MIB,
    "a fraction": "0." + "9" * MIB,
    "an exponent": "1e" + "9" * MIB,
    "a sign": "-" * MIB,
    "NaNs": "[" + "NaN," * (MIB // 4),
    "blanks": " " * MIB,
}


@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY)
def test_takes_little_time_whatever_is_sent(text: str) -> None:
    with little_time(), contextlib.suppress(NotJson):
        loads(text.encode())


MANY = {
    "elements": ("[" + ",".join(["0"] * 500_000) + "]", 500_000),
    "lists": ("[" + ",".join(["[]"] * 300_000) + "]", 300_000),
    "strings": ("[[]," + "[]," * 32 + ",".join(['"a"'] * 250_000) + "]", 250_033),
    "keys": ("{" + ",".join(f'"{n}":0' for n in range(100_000)) + "}", 100_000),
}


@pytest.mark.parametrize(("text", "length"), MANY.values(), ids=MANY)
def test_large_and_legal_is_taken_in_little_time(text: str, length: int) -> None:
    with little_time():
        assert len(loads(text)) == length


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=25,
)


@given(value=VALUES, ascii_only=st.booleans(), indent=st.none() | st.integers(0, 3))
def test_agrees_with_the_standard_library_on_json(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert loads(text) == loads(text.encode()) == json.loads(text) == value


SOUP = st.lists(
    st.sampled_from(
        [
            *'[]{}",:\\ \n\t-+.0123456789eE',
            "null",
            "true",
            "NaN",
            '"a"',
            "\\u",
            "d800",
            "dc00",
            "\ud800",
            '\\"',
            "1e999",
        ]
    ),
    max_size=60,
).map("".join)


@given(text=SOUP | st.text())
def test_anything_is_a_value_or_not_json(text: str) -> None:
    try:
        value = loads(text)
    except NotJson:
        return
    assert value == json.loads(text)
    assert depth(value) <= DEEPEST
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


@given(raw=st.binary(max_size=60))
def test_any_bytes_are_a_value_or_not_json(raw: bytes) -> None:
    try:
        value = loads(raw)
    except NotJson:
        return
    assert value == json.loads(raw.decode())


def depth(value: Any) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max((depth(part) for part in inner), default=0)


@pytest.mark.parametrize("levels", [1, 31, 32, 33, 34, 60])
@pytest.mark.parametrize("noise", ['""', '"\\""', '"\\\\"', '"]["', '"\\\\\\"[[["', "[]", "{}"])
def test_what_stands_in_strings_does_not_count(levels: int, noise: str) -> None:
    """The count of brackets agrees with the depth of what the standard library reads."""
    text = "[" * (levels - 1) + f"[{','.join([noise] * 20)}]" + "]" * (levels - 1)
    value = json.loads(text)
    if depth(value) > strictjson.DEEPEST:
        with pytest.raises(NotJson, match="Nested deeper"):
            loads(text)
    else:
        assert loads(text) == value


def test_a_finite_number_stays_a_number() -> None:
    assert math.isclose(loads("0.1"), 0.1)
    assert isinstance(loads("1"), int)
    assert isinstance(loads("1.0"), float)
