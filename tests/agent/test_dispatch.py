"""The agent does what stands in its closed list, whoever asks, and survives whatever it is sent."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from oms import __version__
from oms.agent.dispatch import READS_AT_ONCE
from oms.bus.call import encode
from oms.contract.errors import (
    FuncManError,
    FuncMethodTimeoutError,
    HostUnavailable,
    JobExpired,
    WireError,
    unpack,
)
from oms.contract.internal import AskJobs, Hello
from tests.agent.rig import FACTS, HOST, Agent, Look, Work, agent
from tests.waiting import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "journal.db"


async def reply(it: Agent, verb: str, payload: bytes) -> Exception:
    answer = msgspec.json.decode(await it.bus.server.request(HOST, verb, payload, 5))
    assert list(answer) == ["error"]
    return unpack(msgspec.convert(answer["error"], WireError))


def request(it: Agent, op: bytes, **values: object) -> bytes:
    fields = {"id": "a" * 32, "deadline": it.world.server_time() + 10, "server": "server-a", "epoch": 7}
    return encode(fields | values | {"op": msgspec.Raw(op)})


async def test_a_read_is_answered_and_the_greeting_brings_facts(path: Path) -> None:
    async with agent(path) as it:
        assert await it.server.ask(HOST, Look("a")) == "a"
        assert (await it.hello()).facts == FACTS


@pytest.mark.parametrize(
    "verb", ["command.run", "kvmservices.delete_vm", "os.system", "testservices", "agent", "testservices.__init__"]
)
async def test_what_is_not_in_the_list_is_refused_by_name(path: Path, verb: str) -> None:
    async with agent(path) as it:
        body = request(it, b'{"cmd": ["id"], "args": ["id"]}')
        refusal = await reply(it, verb, body)
        assert type(refusal).__name__ == "NotSupported"
        assert verb in str(refusal)
        assert __version__ in str(refusal)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"id": 1, "op": {}}',
        b'{"op": {}}',
        b'{"id": "x", "op": null}',
        b'{"id": "x", "op": {"thing": 5}}',
        b'{"id": "x", "op": {"thing": "a"}, "deadline": "soon"}',
        b'{"id": "x", "op": {"thing": "a"}, "deadline": 1e999}',
        b'{"id": "x", "op": {"thing": "a"}, "epoch": 1' + b"0" * 5000 + b"}",
        b'{"id": "x", "op": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"id": "x", "op": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"}",
        b'{"id": "x", "op": {"thing": "\xff"}}',
        b"\x00" * 100_000,
    ],
    ids=lambda payload: payload[:40].decode(errors="replace"),
)
@pytest.mark.parametrize("verb", ["testservices.work", "testservices.look", "agent.hello", "agent.ask_jobs"])
async def test_nonsense_is_refused_by_name_and_the_agent_lives(path: Path, verb: str, payload: bytes) -> None:
    async with agent(path) as it:
        assert isinstance(await reply(it, verb, payload), FuncManError)
        assert await it.server.ask(HOST, Look("a")) == "a"
        assert it.workshop.begun == []


async def test_what_a_newer_server_adds_is_passed_over(path: Path) -> None:
    async with agent(path) as it:
        body = request(it, b'{"thing": "a", "new": {"deep": [1]}}', new="x")
        answer = await it.bus.server.request(HOST, "testservices.look", body, 60)
        assert msgspec.json.decode(answer) == {"result": "a"}


async def test_a_read_beyond_its_deadline_is_not_begun_and_one_under_way_is_ended(path: Path) -> None:
    async with agent(path) as it:
        late = await reply(it, "testservices.look", request(it, b'{"thing": "a"}', deadline=1.0))
        assert isinstance(late, JobExpired)
        assert it.workshop.looked == 0
        it.workshop.gate("a")
        soon = it.world.server_time() + 2
        ended = await reply(it, "testservices.look", request(it, b'{"thing": "a"}', deadline=soon))
        assert isinstance(ended, FuncMethodTimeoutError)


async def test_reads_are_bounded_and_those_that_hang_hold_up_nobody_for_long(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("hangs")
        soon = it.world.server_time() + 3
        hanging = [
            asyncio.create_task(reply(it, "testservices.look", request(it, b'{"thing": "hangs"}', deadline=soon)))
            for _ in range(READS_AT_ONCE + 5)
        ]
        await eventually(lambda: it.workshop.looked == READS_AT_ONCE)
        assert await it.server.ask(HOST, Look("a")) == "a"
        assert {type(error) for error in await asyncio.gather(*hanging)} <= {FuncMethodTimeoutError, JobExpired}
        assert it.workshop.looked <= READS_AT_ONCE + 1


async def test_changes_and_questions_about_them_pass_hanging_reads_by(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("hangs")
        reads = [asyncio.create_task(it.server.ask(HOST, Look("hangs"))) for _ in range(READS_AT_ONCE)]
        await eventually(lambda: it.workshop.looked == READS_AT_ONCE)
        assert (await it.done(Work("b"))).state == "done"
        it.workshop.gate("hangs").set()
        assert await asyncio.gather(*reads) == ["hangs"] * READS_AT_ONCE


async def test_too_many_ids_at_once_are_refused_and_odd_ones_are_unknown(path: Path) -> None:
    async with agent(path) as it:
        with pytest.raises(FuncManError, match="At most 1000"):
            await it.server.ask(HOST, AskJobs(("a" * 32,) * 1001))
        odd = await it.server.ask(HOST, AskJobs(("", "'; DROP TABLE jobs", "é" * 70_000)))
        assert [state.state for state in odd] == ["unknown"] * 3
        assert max(len(state.id) for state in odd) <= 64


async def test_many_servers_are_not_remembered_for_ever(path: Path) -> None:
    async with agent(path) as it:
        for number in range(100):
            await it.server.ask(HOST, Hello(it.world.server_time(), f"other-{number}", 1))
        with pytest.raises(HostUnavailable, match="greeted"):
            await it.server.ask(HOST, Look("a"))
        await it.hello()
        assert await it.server.ask(HOST, Look("a")) == "a"
