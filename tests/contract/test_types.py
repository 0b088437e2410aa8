"""The named types: what passes for a name, and that a secret is not shown."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.contract.types import (
    CacheTimeout,
    Hostname,
    Password,
    Secret,
    TagName,
    TaskId,
    UserName,
    VmName,
    decode_secret,
    encode_secret,
)
from tests.little_time import little_time

NAMES = {"Hostname": Hostname, "VmName": VmName, "UserName": UserName, "TagName": TagName, "TaskId": TaskId}
each = pytest.mark.parametrize("kind", NAMES.values(), ids=NAMES)
HOSTILE = {
    "line feed": "vm1\n",
    "line feed first": "\nvm1",
    "other digits": "²",
    "wide letters": "ｖｍ１",
    "underscored number with a sign": "+1_000",
    "blank first": " 12 ",
    "scope": "fe80::1%$(id)",
    "NUL": "a\0b",
    "too long": "a" * 300,
    "empty": "",
    "right to left": "vm\u202e1",
    "here": ".",
    "above": "..",
    "path": "../etc/passwd",
    "absolute": "/etc/passwd",
    "option": "-rf",
    "pattern": "*",
    "shell": "a;reboot",
    "substitution": "$(reboot)",
    "quote": "a'b",
    "markup": "<b>",
    "line separator": "vm\u20281",
}


@each
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_looks_like_a_name_and_is_none_is_refused(kind: Any, text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, kind)


@each
@given(text=st.text())
def test_a_name_is_plain_ascii_that_begins_with_a_letter_or_digit(kind: Any, text: str) -> None:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return
    assert text.isascii()
    assert text.isprintable()
    assert text[0].isalnum()


@each
def test_a_name_is_checked_in_bounded_time(kind: Any) -> None:
    for text in ("a-" * 500_000, "a." * 500_000, "a" * 253 + "\n", "a-" * 126 + "!"):
        with little_time(), pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, kind)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Hostname, "funcclient"),
        (Hostname, "node-1.example.com"),
        (Hostname, "a" * 253),
        (VmName, "openfiler23"),
        (VmName, "virtual_machine.example.com"),
        (VmName, "6dd5cd1c-5a0b-4f57-9cf1-5b2f0a0e4d1f"),
        (VmName, "VM1"),
        (UserName, "anna@example.com"),
        (TagName, "OpenNode"),
        (TagName, "rack 7"),
        (TaskId, "0123456789abcdef" * 2),
    ],
)
def test_a_name_in_use_is_taken(kind: Any, text: str) -> None:
    assert msgspec.convert(text, kind) == text


def test_hosts_have_no_twins_that_differ_in_case() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert("H1", Hostname)


@pytest.mark.parametrize("value", [-1, 0.5, 0.0, True, "0", None, 2**31])
def test_a_cache_timeout_is_whole_seconds(value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, CacheTimeout)


def test_a_secret_shows_nothing() -> None:
    secret = msgspec.convert("s3cr3t", Password, dec_hook=decode_secret)
    shown = f"{secret} {secret!r} {[secret]} {secret:}"
    assert "s3cr3t" not in shown
    assert secret != object()
    assert secret != Secret("s3cr3t")
    assert secret.reveal() == "s3cr3t"
    assert encode_secret(secret) == "s3cr3t"


@pytest.mark.parametrize("value", [1, None, ["s"], {"a": 1}, "x" * 1025])
def test_a_secret_is_text_of_at_most_1024_characters(value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, Password, dec_hook=decode_secret)


def test_a_secret_is_not_written_by_accident() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("s3cr3t"))
    with pytest.raises(NotImplementedError):
        encode_secret(object())
