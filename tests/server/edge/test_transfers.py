"""/transfers/JOB: who may bring bytes, which host may take them, and that they arrive as they were."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oms.bus import transfer
from oms.contract import iso
from oms.contract.errors import HostUnavailable, NotThere
from oms.contract.incoming import Received
from oms.contract.internal import SendFile
from oms.server.edge import transfers as door
from oms.server.store import jobs
from tests.server.carriers import CONTENT, Signed, begin, ends, put, signed_host, uploading_host
from tests.server.rig import Oms
from tests.server.streams import Stream
from tests.waiting import eventually


@pytest.fixture
async def host(oms: Oms) -> Signed:
    """Its uploads answer at once and go on until the test ends them."""
    return await uploading_host(oms)


async def test_a_file_is_passed_on_whole_and_the_answer_is_how_the_job_has_ended(oms: Oms, host: Signed) -> None:
    operator = await oms.as_operator()
    job = await begin(operator)
    taking, bringing = host.takes(job), put(operator, job, CONTENT)
    await taking.done()
    assert (taking.status, taking.headers["oms-size"]) == (200, str(len(CONTENT)))
    assert taking.answer == CONTENT
    await ends(host, job)
    await bringing.done()
    assert (bringing.status, bringing.json) == (200, {"job": job, "state": "done", "offset": -1})
    (line,) = (line for line in oms.audited() if line["method"] == "PUT /transfers")
    assert (line["user"], line["host"], line["job"]) == ("operator", "h1", job)


async def test_in_parts_each_goes_on_where_the_host_says(oms: Oms, host: Signed) -> None:
    operator = await oms.as_operator()
    job = await begin(operator)
    got = b""
    for first in range(0, len(CONTENT), 100_000):
        taking = host.takes(job, first)
        last = first + 99_999
        bringing = put(operator, job, CONTENT[first : last + 1], f"bytes {first}-{last}/{len(CONTENT)}")
        await taking.done()
        got += taking.answer
        if len(got) < len(CONTENT):
            again = host.takes(job, len(got))
            await bringing.done()
            assert bringing.json == {"job": job, "state": "running", "offset": len(got)}
            again.leave()
            await again.done()
        else:
            await ends(host, job)
            await bringing.done()
    assert got == CONTENT


async def test_how_far_it_is_can_be_asked_and_a_part_that_does_not_fit_is_told_so(oms: Oms, host: Signed) -> None:
    operator = await oms.as_operator()
    job = await begin(operator)
    taking = host.takes(job, 5_000)
    for verb in ("GET", "HEAD"):
        asked = Stream(oms.edge, verb, f"/transfers/{job}", {"authorization": f"Bearer {operator.sessid}"})
        assert (await asked.done()).headers["upload-offset"] == "5000"
    wrong = await put(operator, job, CONTENT).done()
    assert (wrong.status, wrong.json["offset"]) == (409, 5_000)
    bringing = put(operator, job, CONTENT[5_000:], f"bytes 5000-{len(CONTENT) - 1}/{len(CONTENT)}")
    assert (await taking.done()).answer == CONTENT[5_000:]
    await ends(host, job)
    await bringing.done()


async def test_what_came_before_a_break_reaches_the_host(oms: Oms, host: Signed) -> None:
    operator = await oms.as_operator()
    job = await begin(operator)
    taking = host.takes(job)
    gate = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield CONTENT[:50_000]
        await gate.wait()
        yield b""

    headers = {"authorization": f"Bearer {operator.sessid}", "content-length": str(len(CONTENT))}
    bringing = Stream(oms.edge, "PUT", f"/transfers/{job}", headers, half())
    await eventually(lambda: len(taking.answer) == 50_000)
    bringing.leave()
    gate.set()
    await bringing.done()
    assert bringing.status == 0
    assert (await taking.done()).answer == CONTENT[:50_000]


async def test_a_host_that_goes_away_is_told_to_who_brings(oms: Oms, host: Signed) -> None:
    operator = await oms.as_operator()
    job = await begin(operator, 10**12)
    taking = host.takes(job)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1000)
            await asyncio.sleep(0)

    headers = {"authorization": f"Bearer {operator.sessid}", "content-length": str(10**12)}
    bringing = Stream(oms.edge, "PUT", f"/transfers/{job}", headers, endless())
    await eventually(lambda: len(taking.answer) > 10_000)
    taking.leave()
    again = host.takes(job, 4_000)
    await bringing.done()
    assert (bringing.status, bringing.json["offset"]) == (503, 4_000)
    again.leave()


async def test_a_failed_job_says_why_to_who_brings(oms: Oms, host: Signed, quick: None) -> None:
    operator = await oms.as_operator()
    job = await begin(operator)
    taking, bringing = host.takes(job), put(operator, job, CONTENT)
    await taking.done()
    await ends(host, job, "failed")
    await bringing.done()
    assert bringing.status == 409
    assert "message" in bringing.json["error"]
    late = await put(operator, job, CONTENT).done()
    assert (late.status, late.json["error"]["name"]) == (409, "FuncManError")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST_WAITS_SECONDS", "CALLER_WAITS_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(door, name, 0.1)


async def test_neither_side_waits_for_ever(oms: Oms, host: Signed, quick: None) -> None:
    operator = await oms.as_operator()
    job = await begin(operator)
    assert (await host.takes(job).done()).status == 204
    bringing = await put(operator, job, CONTENT).done()
    assert (bringing.status, bringing.json["offset"]) == (503, -1)


async def test_who_brings_nothing_any_more_is_let_go(
    oms: Oms, host: Signed, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "STALLED_SECONDS", 0.05)
    operator = await oms.as_operator()
    job = await begin(operator)
    taking = host.takes(job)

    async def stalls() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    headers = {"authorization": f"Bearer {operator.sessid}", "content-length": "300000"}
    bringing = Stream(oms.edge, "PUT", f"/transfers/{job}", headers, stalls())
    assert (await bringing.done()).status == 503
    assert (await taking.done()).answer == b"x"


async def running(oms: Oms, host: Signed) -> str:
    """The host's only job, once OMS knows that it runs."""
    await eventually(lambda: host.double.journal)
    (job,) = host.double.journal
    async with asyncio.timeout(30):
        while (await oms.store.read(jobs.unfinished))[0].state != "running":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return job


async def test_few_bring_at_once_and_hosts_that_wait_are_not_counted(
    oms: Oms, host: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "AT_ONCE", 1)
    operator = await oms.as_operator()
    one, other = await begin(operator), await begin(operator, name="b.iso")
    taking, waiting = host.takes(one), host.takes(other)
    bringing = put(operator, one, CONTENT)
    assert (await taking.done()).answer == CONTENT
    refused = await put(operator, other, CONTENT).done()
    assert (refused.status, "As many transfers" in refused.json["error"]["message"]) == (503, True)
    await ends(host, one)
    assert (await bringing.done()).status == 200
    passing = put(operator, other, CONTENT)
    assert (await waiting.done()).answer == CONTENT
    await ends(host, other)
    assert (await passing.done()).status == 200


# --- who may ---


async def test_only_who_began_an_upload_or_an_administrator_goes_on_with_it(
    oms: Oms, host: Signed, quick: None
) -> None:
    operator, admin, viewer = await oms.as_operator(), await oms.as_admin(), await oms.as_viewer()
    job = await begin(admin)
    for who, status, words in (
        (operator, 401, "is admin's"), (viewer, 401, "needs the role operator"),
    ):  # fmt: skip
        answer = await put(who, job, CONTENT).done()
        assert (answer.status, answer.json["error"]["name"]) == (status, "AuthError")
        assert words in answer.json["error"]["message"]
    job = await begin(operator, name="b.iso")
    assert (await put(admin, job, CONTENT).done()).json["offset"] == -1  # may, but no host takes


@pytest.mark.parametrize(
    "header", ["", "Bearer ", "Bearer " + "A" * 40, "Basic YWRtaW46YWRtaW4=", "Bearer x\x00", "A" * 40]
)
async def test_without_a_session_nothing_is_told(oms: Oms, host: Signed, header: str) -> None:
    job = await begin(await oms.as_operator())
    for verb in ("GET", "PUT", "HEAD"):
        headers = {"authorization": header, "content-length": "5"}
        answer = await Stream(oms.edge, verb, f"/transfers/{job}", headers, [b"12345"]).done()
        assert answer.status == 401
    asked = f"/transfers/{job}?SESSID={(await oms.as_operator()).sessid}"
    assert (await Stream(oms.edge, "GET", asked, {}).done()).status == 401


async def test_a_session_that_ends_meanwhile_ends_the_upload(
    oms: Oms, host: Signed, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SESSION_LOOKED_AT_SECONDS", 0.0)
    monkeypatch.setattr("oms.server.sessions.BELIEVE_SECONDS", 0.0)
    operator = await oms.as_operator()
    job = await begin(operator)
    taking = host.takes(job)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10)
            await asyncio.sleep(0.001)

    headers = {"authorization": f"Bearer {operator.sessid}", "content-length": "300000"}
    bringing = Stream(oms.edge, "PUT", f"/transfers/{job}", headers, endless())
    await eventually(lambda: len(taking.answer) > 50)
    await oms.call("authservices.deauthenticate", operator.sessid)
    assert (await bringing.done()).status == 401


async def test_another_sites_page_brings_nothing(oms: Oms, host: Signed) -> None:
    operator = await oms.as_operator()
    job = await begin(operator)
    answer = await put(operator, job, CONTENT, origin="https://evil.example").done()
    assert answer.status == 403


@pytest.mark.parametrize(
    ("job", "status"), [("0" * 32, 404), ("x", 404), ("", 404), ("../jobs", 404), ("0" * 5000, 404)]
)
async def test_a_job_that_is_none_is_not_there(oms: Oms, host: Signed, job: str, status: int) -> None:
    operator = await oms.as_operator()
    for answer in (await put(operator, job, CONTENT).done(), await host.takes(job).done()):
        assert answer.status == status
        assert len(answer.answer) < 500


async def test_a_job_that_takes_no_bytes_takes_none(oms: Oms, host: Signed) -> None:
    async def hold(_op: Any) -> int:
        await asyncio.Event().wait()
        return 0

    host.double.does[iso.DeleteImage] = hold
    operator = await oms.as_operator()
    asked = asyncio.create_task(operator.ask("isoservices.delete_image", 0, "h1", "a.iso"))
    job = await running(oms, host)
    for answer in (await put(operator, job, CONTENT).done(), await host.takes(job).done()):
        assert answer.status == 404
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"content-length": "0"}, "needs a Content-Length"),
        ({"content-length": "x"}, "needs a Content-Length"),
        ({"content-length": "9" * 20}, "needs a Content-Length"),
        ({"content-range": "bytes 0-4/300000"}, "is of 5 bytes"),
        ({"content-range": "bytes 0-299999/*"}, "in whole numbers"),
        ({"content-range": "bytes 5-4/300000"}, "in whole numbers"),
        ({"content-range": "bytes 0-300000/300000"}, "in whole numbers"),
        ({"content-range": "lines 0-299999/300000"}, "in whole numbers"),
        ({"content-length": "5", "content-range": "bytes 0-4/5"}, "begun for 300000 bytes, not for 5"),
    ],
    ids=str,
)  # fmt: skip
async def test_what_does_not_add_up_is_refused(
    oms: Oms, host: Signed, headers: dict[str, str], words: str
) -> None:
    operator = await oms.as_operator()
    job = await begin(operator)
    answer = await put(operator, job, CONTENT, **headers).done()
    assert answer.status in (400, 409)
    assert words in answer.json["error"]["message"]


async def test_more_or_less_than_was_said_is_not_passed_off_as_whole(oms: Oms, host: Signed) -> None:
    operator = await oms.as_operator()
    job = await begin(operator)
    for body in (CONTENT + b"x", CONTENT[:-1]):
        taking = host.takes(job)
        answer = await put(operator, job, body, **{"content-length": str(len(CONTENT))}).done()
        assert answer.status == 400
        assert len((await taking.done()).answer) < len(CONTENT)


# --- hosts ---


def forged(kind: str, host: Signed, other: Signed, target: str) -> dict[str, str]:
    match kind:
        case "another host's":
            return other.headers("GET", target)
        case "for another address":
            return host.headers("GET", target + "1")
        case "for another verb":
            return host.headers("PUT", target)
        case "old":
            return host.headers("GET", target, datetime.now(UTC) - timedelta(minutes=11))
        case "of the future":
            return host.headers("GET", target, datetime.now(UTC) + timedelta(minutes=11))
        case "by another key":
            made = transfer.claim(other.key, host.certificate, "GET", target, datetime.now(UTC))
            return {transfer.HOST_HEADER: made}
        case _:
            return {transfer.HOST_HEADER: kind}


@pytest.mark.parametrize(
    "kind",
    ["another host's", "for another address", "for another verb", "old", "of the future", "by another key", "x",
     "", "e30=", "bnVsbA==", "A" * 4000],
)  # fmt: skip
async def test_a_host_takes_only_what_is_its_own(oms: Oms, host: Signed, kind: str) -> None:
    other = await signed_host(oms, "h2")
    job = await begin(await oms.as_operator())
    target = f"/transfers/{job}?offset=0"
    answer = await Stream(oms.edge, "GET", target, forged(kind, host, other, target)).done()
    assert answer.status in (400, 404)
    assert "offset" not in bytes(answer.answer).decode()


async def test_a_host_that_was_removed_takes_nothing_more(oms: Oms, host: Signed) -> None:
    job = await begin(await oms.as_operator())
    await (await oms.as_admin()).ask("funcservices.remove_signed", 0, ["h1"])
    assert (await host.takes(job).done()).status == 400


# --- from one host to another ---


@pytest.fixture
async def two(oms: Oms) -> tuple[Signed, Signed, Callable[[], Any]]:
    """The host that takes, the one that has, and how to begin a copy."""
    host, source = await signed_host(oms, "h1"), await signed_host(oms, "h2")
    gate = asyncio.Event()

    async def copy(_op: iso.CopyImage) -> Received:
        await gate.wait()
        return Received(len(CONTENT), "0" * 64)

    async def begin() -> str:
        operator = await oms.as_operator()
        task = asyncio.create_task(operator.ask("isoservices.copy_image", 0, "h1", "a.iso", "h2"))
        oms.hosts.insert(0, Ending(task, gate))  # type: ignore[arg-type]
        return await running(oms, host)

    host.double.does[iso.CopyImage] = copy
    return host, source, begin


class Ending:
    def __init__(self, task: asyncio.Task[Any], gate: asyncio.Event) -> None:
        self.task, self.gate = task, gate

    async def close(self) -> None:
        self.gate.set()
        await self.task


async def test_a_host_brings_what_it_was_asked_for(oms: Oms, two: tuple[Signed, Signed, Any]) -> None:
    host, source, begin = two
    asked: list[SendFile] = []

    async def send(op: SendFile) -> int:
        asked.append(op)
        return len(CONTENT)

    source.double.does[SendFile] = send
    job = await begin()
    taking = host.takes(job, 1_000)
    await eventually(lambda: asked)
    assert asked == [SendFile(job, "iso", "a.iso", 1_000)]
    bringing = source.brings(job, CONTENT, 1_000)
    await taking.done()
    assert taking.answer == CONTENT[1_000:]
    host.takes(job, len(CONTENT)).leave()
    assert (await bringing.done()).status == 200


async def test_nobody_else_brings_to_a_copy(oms: Oms, two: tuple[Signed, Signed, Any], quick: None) -> None:
    host, _source, begin = two
    third = await signed_host(oms, "h3")
    job = await begin()
    admin = await oms.as_admin()
    for answer in (
        third.brings(job, CONTENT), host.brings(job, CONTENT), third.takes(job), put(admin, job, CONTENT),
    ):  # fmt: skip
        assert (await answer.done()).status == 404


@pytest.mark.parametrize("error", [NotThere("There is no ISO image 'a.iso' there."), HostUnavailable("Away.")])
async def test_what_keeps_the_other_host_from_sending_is_told(
    oms: Oms, two: tuple[Signed, Signed, Any], error: Exception
) -> None:
    host, source, begin = two
    source.double.refuses["agent.send_file"] = error  # type: ignore[assignment]
    job = await begin()
    answer = await host.takes(job).done()
    assert (answer.status, answer.json["error"]["kind"]) == (409, type(error).__name__)
    assert str(error) in answer.json["error"]["message"]
