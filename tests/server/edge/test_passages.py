"""/passages/JOB: two hosts are brought together by OMS, once, for what somebody asked for, and nobody else is."""

import asyncio
from typing import Any

import pytest

from oms.bus import introduction
from oms.bus.call import encode
from oms.contract import iso
from oms.contract.errors import NoSpace, NotThere
from oms.contract.incoming import Received
from oms.contract.internal import Gate, JobState, WhereGate
from oms.contract.operation import HostOperation
from oms.server import matchmaker
from oms.server.matchmaker import MOVES, Move
from oms.server.store import jobs
from tests.server.carriers import Signed, signed_host
from tests.server.rig import CallError, Oms
from tests.server.streams import Stream
from tests.waiting import eventually

GATE = Gate("192.0.2.7", 49216, "its certificate")


@pytest.fixture(autouse=True)
def move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying an image stands for a move here, and deleting one for its other side."""
    kind: type[HostOperation[Any]] = iso.CopyImage
    monkeypatch.setitem(
        MOVES,
        kind,
        Move(lambda op: op.from_hostname, iso.DeleteImage, lambda op, there: op.image_name == there.image_name),
    )


class Two:
    """h1, whose job has another side, and h2, which is that side."""

    def __init__(self, oms: Oms, one: Signed, other: Signed) -> None:
        self.oms, self.one, self.other = oms, one, other
        self.over = asyncio.Event()
        self.refuses: Exception | None = None

    async def asked(self, to: str = "h2") -> str:
        """The job that somebody asked h1 for."""
        operator = await self.oms.as_operator()
        call = operator.ask("isoservices.copy_image", 0, "h1", "a.iso", to)
        self.calling = asyncio.ensure_future(call)
        await eventually(lambda: any(s.state == "running" for s in self.one.double.journal.values()))
        (job,) = (s.id for s in self.one.double.journal.values() if s.state == "running")
        await eventually(lambda: self._running(job))
        return job

    def _running(self, job: str) -> bool:
        with self.oms.store._engine.connect() as tx:
            row = jobs.by_id(tx, job)
        return row is not None and row.state == "running"

    async def says(self, job: str, op: Any = None, verb: str = "POST", who: Signed | None = None) -> Stream:
        target = f"/passages/{job}"
        body = encode(op or iso.DeleteImage("a.iso"))
        stream = Stream(self.oms.edge, verb, target, (who or self.one).headers(verb, target), [body])
        await stream.done()
        return stream


@pytest.fixture
async def two(oms: Oms) -> Any:
    one, other = await signed_host(oms, "h1"), await signed_host(oms, "h2")
    made = Two(oms, one, other)

    async def move(op: iso.CopyImage) -> Received:
        await made.over.wait()
        return Received(1, "")

    async def there(op: iso.DeleteImage) -> int:
        if made.refuses is not None:
            raise made.refuses
        await made.over.wait()
        return 0

    async def where(op: WhereGate) -> Gate:
        return GATE

    one.double.does[iso.CopyImage] = move
    other.double.does[iso.DeleteImage] = there
    other.double.does[WhereGate] = where
    yield made
    made.over.set()
    if hasattr(made, "calling"):
        await asyncio.gather(made.calling, return_exceptions=True)


async def test_the_other_host_gets_its_job_once_and_the_first_is_told_where_it_listens(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matchmaker, "ANSWERS_SECONDS", 0.3)
    two.over.clear()
    job = await two.asked()
    answers = [(await two.says(job)) for _ in range(2)]
    there = introduction.job_there(job)
    assert [(answer.status, answer.json["error"]["kind"]) for answer in answers] == [
        (503, "FuncMethodTimeoutError"),
        (503, "FuncMethodTimeoutError"),
    ], "this other side answers nothing early, so asking again is all that can be done"
    assert two.other.double.begun == {there: 1}
    two.over.set()
    await eventually(lambda: two.other.double.journal[there].state == "done")


async def test_an_other_side_that_has_answered_is_where_it_says(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await two.asked()
    there = introduction.job_there(job)
    first = asyncio.create_task(two.says(job))
    await eventually(lambda: there in two.other.double.journal)
    two.other.double.journal[there] = JobState(there, "running", result="0")
    await two.other.double.tell(two.other.double.journal[there])
    answer = await first
    assert (answer.status, answer.json) == (
        200,
        {
            "job": there,
            "state": "running",
            "gate": {"address": GATE.address, "port": 49216, "certificate": GATE.certificate},
        },
    )

    async def nowhere(op: WhereGate) -> Gate:
        raise NotThere("not now")

    two.other.double.does[WhereGate] = nowhere
    assert (await two.says(job)).json == {"job": there, "state": "running"}
    row = await two.oms.store.read(lambda tx: jobs.by_id(tx, there))
    assert row is not None
    assert (row.owner, row.host, row.target) == ("operator", "h2", "a.iso")


async def test_the_other_hosts_refusal_comes_back(two: Two) -> None:
    job = await two.asked()
    two.refuses = NoSpace("no room on h2")
    answer = await two.says(job)
    assert (answer.status, answer.json["state"]) == (200, "failed")
    assert answer.json["error"]["kind"] == "NoSpace"


@pytest.mark.parametrize(
    ("to", "kind", "names"),
    [("h1", "ParameterMismatch", "h1"), ("evil.example", "HostUnavailable", "evil.example")],
)
async def test_the_same_host_and_one_that_is_not_signed_are_refused(
    two: Two, to: str, kind: str, names: str
) -> None:
    answer = await two.says(await two.asked(to))
    assert (answer.status, answer.json["error"]["kind"]) == (409, kind)
    assert names in answer.json["error"]["message"]
    assert not two.other.double.begun


async def test_a_host_that_is_away_is_named(two: Two) -> None:
    job = await two.asked()
    await two.other.double.wire.close()
    answer = await two.says(job)
    assert (answer.status, answer.json["error"]["kind"]) == (409, "HostUnavailable")


async def test_only_the_host_whose_job_it_is_may_ask_and_only_for_what_was_asked_of_it(two: Two) -> None:
    job = await two.asked()
    assert (await two.says(job, who=two.other)).json["error"]["kind"] == "NoSuchTask"
    assert (await two.says("0" * 32)).json["error"]["kind"] == "NoSuchTask"
    assert (await two.says(job, iso.DeleteImage("b.iso"))).status == 409, "of another thing than was asked for"
    assert (await two.says("../../etc")).status == 400
    assert (await two.says(job, verb="PUT")).status == 405
    assert (await two.says(job, verb="GET")).json["error"]["kind"] == "NoSuchTask", "it is no other side"
    target = f"/passages/{job}"
    for headers in ({}, {"oms-host": "nonsense"}, two.one.headers("DELETE", target)):
        unsigned = Stream(two.oms.edge, "POST", target, headers, [encode(iso.DeleteImage("a.iso"))])
        await unsigned.done()
        assert unsigned.status == 400
    for body in (b"", b"[]", b"{", b"x" * (introduction.LONGEST_BYTES + 1)):
        odd = Stream(two.oms.edge, "POST", target, two.one.headers("POST", target), [body])
        await odd.done()
        assert odd.status in (400, 409)
    assert not two.other.double.begun


async def test_it_is_called_off_as_far_as_the_other_side_lets_itself_be(two: Two) -> None:
    job = await two.asked()
    assert (await two.says(job, verb="DELETE")).json == {"over": True}, "nothing was asked of it yet"
    two.other.double.queue_open.clear()
    asking = asyncio.create_task(two.says(job))
    there = introduction.job_there(job)
    await eventually(lambda: there in two.other.double.journal)
    assert (await two.says(job, verb="DELETE")).json == {"over": True}
    assert two.other.double.journal[there].state == "cancelled"
    assert (await asking).json["state"] == "cancelled"
    two.other.double.queue_open.set()


async def test_a_host_that_was_removed_may_ask_nothing(two: Two) -> None:
    job = await two.asked()
    await (await two.oms.as_admin()).ask("funcservices.remove_signed", 0, ["h1"])
    assert (await two.says(job)).status == 400


async def test_jobs_without_another_side_have_none(two: Two) -> None:
    with pytest.raises(CallError):
        await (await two.oms.as_operator()).ask("isoservices.delete_image", 0, "h2", "a.iso", "x")
    two.one.double.does[iso.DeleteImage] = two.other.double.does[iso.DeleteImage]
    operator = await two.oms.as_operator()
    deleting = asyncio.ensure_future(operator.ask("isoservices.delete_image", 0, "h1", "a.iso"))
    await eventually(lambda: any(s.state == "running" for s in two.one.double.journal.values()))
    (job,) = two.one.double.journal
    assert (await two.says(job)).json["error"]["kind"] == "NoSuchTask"
    two.over.set()
    await deleting
