"""JSON that is none, too deep or too much, in the place of a call, of its parameters, and of a cache_timeout."""

import itertools
from typing import Any
from urllib.parse import quote

import pytest

from oms.contract.operation import CACHE_TIMEOUT
from oms.contract.registry import OPERATIONS
from tests.little_time import little_time
from tests.security import calls
from tests.security.attack import Attack, shows_nothing
from tests.server.rig import Oms

NOT_JSON = {
    "a thousand lists in each other": "[" * 1000 + "]" * 1000,
    "a hundred thousand that never end": "[" * 100_000,
    "a thousand objects in each other": '{"a":' * 1000 + "1" + "}" * 1000,
    "a number of 5000 digits": "[" + "1" * 5000 + "]",
    "a number beyond all": "[1e999]",
    "NaN": "[NaN]",
    "Infinity": "[-Infinity]",
    "a key twice": '[{"a": 1, "a": 2}]',
    "half a pair": '["\\ud800"]',
    "the other half": '["a\\udfffb"]',
    "a control character": '["a\nb"]',
    "one quote": "['a']",
    "a comma too many": "[1,]",
    "a comment": "[1 /* 2 */]",
    "two values": "[] []",
    "a byte order mark": "\ufeff[]",
    "a string that never ends": '["' + "\\\\" * 100_000,
    "code": "__import__('os').system('id')",
    "a pickle": "cos\nsystem\n(S'id'\ntR.",
    "YAML": "!!python/object/apply:os.system [id]",
}


@pytest.mark.parametrize("text", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_no_json_is_no_call(oms: Oms, text: str) -> None:
    """In the three places where it may stand. No number or name is taken for another one by a lenient reader."""
    requests: dict[str, Any] = {
        "the body": {"verb": "POST", "target": "/", "body": text.encode()},
        "the parameters": {"verb": "POST", "target": "/", "body": _around(text)},
        "enrolment": {"verb": "POST", "target": "/enrol", "body": text.encode()},
        "facts": {"verb": "POST", "target": "/enrol", "body": b'{"csr": "x", "facts": ' + text.encode() + b"}"},
    }
    if len(text) < 5000:
        written = quote(text)
        requests["an address"] = {"verb": "GET", "target": f"/?service=authservices&method=x&params={written}"}
        requests["an id"] = {"verb": "GET", "target": f"/?service=authservices&method=x&id={written}"}
    for where, request in requests.items():
        with little_time():
            reply = await oms.request(**request)
        assert reply.status in (400, 403, 413), where
        assert len(reply.body) < 1000
        shows_nothing(reply.body.decode(), str(oms.folder))
    assert oms.audited() == []


def _around(text: str) -> bytes:
    return b'{"service": "authservices", "method": "checksessid", "id": 1, "params": ' + text.encode() + b"}"


@pytest.mark.parametrize("text", [b"\xff\xfe", b'["\xc3\x28"]', '["\u00e4"]'.encode("utf-16"), b'["a\x00b"]'])
async def test_other_encodings_are_no_call(oms: Oms, text: bytes) -> None:
    for body in (text, _around("[]")[:-3] + text + b"}"):
        assert (await oms.request("POST", "/", body=body)).status == 400


LARGE: dict[str, Any] = {
    "a list": [0] * 20_000,
    "an object": {f"key{number}": 0 for number in range(5_000)},
    "one text": "a" * 100_000,
    "a number": 10**4000,
}
LARGEST: dict[str, Any] = {
    "a list": [0] * 300_000,
    "lists": [[]] * 200_000,
    "an object": {f"key{number}": 0 for number in range(60_000)},
    "objects": [{"a": {}}] * 80_000,
    "one text": "a" * 1_000_000,
    "escapes": "\u0001" * 160_000,
}


async def test_large_values_are_refused_and_not_repeated(oms: Oms) -> None:
    admin = await oms.as_admin()
    every = [(kind, param) for kind in OPERATIONS for param in calls.own(kind)]
    async with Attack(oms, admin.sessid) as attack:
        for (kind, param), (what, value) in itertools.product(every, LARGE.items()):
            error = await attack.refused(kind.facts.wire, calls.with_value(kind, param, value, admin.sessid))
            expected = ("ParameterMismatch", {"parameter": param.name})
            assert (error["name"], error["data"]) == expected, (kind, what)
            assert len(error["message"]) < 500, (kind, what)


async def test_the_largest_values_are_refused_at_once(oms: Oms) -> None:
    """Of about a body's length, in the place of a setting, which may be the most of all that methods take."""
    admin = await oms.as_admin()
    async with Attack(oms, admin.sessid) as attack:
        for what, value in LARGEST.items():
            for settings in (value, {"vcpu": value}):
                with little_time():
                    error = await attack.refused(
                        "kvm.update_vm_settings", [admin.sessid, 0, "h1", "vm1", settings]
                    )
                assert error["data"] == {"parameter": "kvm_vm_settings_dictionary"}, what


WRONG_AGES: list[Any] = [-1, -(10**30), 2**31, 10**30, "0", "", None, 0.5, 0.0, 1e3, True, False, [], [0], {}]


async def test_an_age_is_whole_seconds(oms: Oms) -> None:
    await oms.sign_in_double("h1")
    admin = await oms.as_admin()
    expected = ("ParameterMismatch", {"parameter": "cache_timeout"})
    async with Attack(oms, admin.sessid) as attack:
        for number, kind in enumerate(calls.CACHED):
            assert kind.facts.params[1] is CACHE_TIMEOUT
            for age in WRONG_AGES[number % 5 :: 5] if number else WRONG_AGES:  # it is one parameter everywhere
                by_position = calls.legal(kind, admin.sessid)
                by_position[1] = age
                for params in (by_position, calls.with_value(kind, CACHE_TIMEOUT, age, admin.sessid)):
                    error = await attack.refused(kind.facts.wire, params)
                    assert (error["name"], error["data"]) == expected, (kind, age)


async def test_the_oldest_that_may_be_asked_for_and_the_newest(oms: Oms) -> None:
    viewer = await oms.as_viewer()
    for age in (0, 1, 10**9, 2**31 - 1):
        assert await viewer.ask("funcservices.list_signed", age) == []
