"""Passages between two hosts: streams that arrive as they were, and for nobody but the two."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from oms.agent.config import AgentConfig, checked
from oms.agent.passage import papers as proof
from oms.agent.passage.crossing import Crossing
from oms.agent.passage.gate import Gate
from oms.agent.passage.passages import Passages, ports
from oms.agent.passage.stream import LARGEST_BYTES, Cut, Stream, relay
from oms.contract.errors import FuncManError, JobInterrupted, NoSpace, NotSupported, NotThere
from oms.settings import SettingsError
from tests.agent.passage.ways import LOOPBACK, Pair, Records, hosts, taken_port, there

CONTENT = os.urandom(3_000_000)
SOON = 60.0


@asynccontextmanager
async def met(
    coming: Passages, listening: Passages, pair: Pair, job: Records | None = None
) -> AsyncIterator[tuple[Crossing, Gate]]:
    """Both sides, before any stream is open."""
    mine, its = job or Records("a"), Records("b")
    other = (await proof.of_job(mine)).certificate
    async with (
        asyncio.timeout(SOON),
        listening.gate(its, other) as gate,
        coming.crossing(mine, there) as crossing,
    ):
        yield crossing, gate


async def whole(stream: Stream) -> bytes:
    found = b""
    while piece := await stream.receive():
        found += piece
    return found


async def test_named_streams_arrive_each_as_it_was() -> None:
    async with met(*hosts()) as (crossing, gate):
        disk, words = await crossing.open("disk"), await crossing.open("words")

        async def bring() -> None:
            for place in range(0, len(CONTENT), 200_000):
                await disk.send(CONTENT[place : place + 200_000])
            await disk.end()

        bringing = asyncio.create_task(bring())
        heard = await gate.stream("words")
        await words.say({"what": "commit"})
        assert await heard.hear(dict[str, str]) == {"what": "commit"}
        await heard.say("here")
        assert await words.hear(str) == "here"
        assert await whole(await gate.stream("disk")) == CONTENT
        await bringing


async def test_local_connections_are_carried_both_ways_and_each_end_is_told(tmp_path: Path) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).swapcase())  # only when its caller has ended
        await writer.drain()
        writer.close()

    async with met(*hosts()) as (crossing, gate):
        asked: list[asyncio.Task[None]] = []

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(asyncio.create_task(relay(await crossing.open("x"), reader, writer)))

        async with (
            await asyncio.start_unix_server(shout, tmp_path / "far"),
            await asyncio.start_unix_server(carry, tmp_path / "near"),
        ):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "near")
            writer.write(b"Hello" * 100_000)
            writer.write_eof()
            stream = await gate.stream("x")
            await relay(stream, *await asyncio.open_unix_connection(tmp_path / "far"))
            assert await reader.read() == b"hELLO" * 100_000
            await asked[0]
            writer.close()


async def test_who_reads_slowly_slows_down_who_writes() -> None:
    async with met(*hosts()) as (crossing, gate):
        stream = await crossing.open("disk")
        await gate.stream("disk")
        sent: list[int] = []

        async def bring() -> None:
            while True:
                await stream.send(bytes(1_000_000))
                sent.append(1)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bring(), 0.5)
        assert len(sent) < 40, "what nobody takes is kept nowhere"


async def test_all_streams_of_a_host_are_held_to_one_rate() -> None:
    async with met(*hosts(bytes_per_second=4_000_000)) as (crossing, gate):
        streams = [await crossing.open("disk") for _ in range(2)]
        far = [await gate.stream("disk") for _ in range(2)]
        begun = asyncio.get_running_loop().time()

        async def bring(stream: Stream) -> None:
            for _ in range(10):
                await stream.send(bytes(100_000))
            await stream.end()

        await asyncio.gather(*(bring(stream) for stream in streams), *(whole(stream) for stream in far))
        assert asyncio.get_running_loop().time() - begun > 0.4


async def test_nobody_without_the_agreed_certificate_gets_anything() -> None:
    async with met(*hosts()) as (crossing, _gate):
        where = await crossing.find()
        for stranger in (proof.make(), None):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if stranger is not None:
                context = proof.context(stranger, where.certificate, listens=False)
            reader, writer = await asyncio.open_connection(where.address, where.port, ssl=context)
            writer.write(b"\x05words")
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.transport.abort()
        reader, writer = await asyncio.open_connection(where.address, where.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in await reader.read()
        writer.close()
        await crossing.open("words")


async def test_a_gate_that_shows_another_certificate_is_told_nothing() -> None:
    coming, listening, pair = hosts()
    async with met(coming, listening, pair) as (crossing, gate):
        where = await crossing.find()
        crossing._gate = type(where)(where.address, where.port, proof.make().certificate)
        with pytest.raises(Cut):
            await crossing.open("words")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await gate.stream("words")


async def test_older_tls_is_refused() -> None:
    async with met(*hosts()) as (crossing, _gate):
        where = await crossing.find()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(where.address, where.port, ssl=context)


async def test_when_either_side_ends_the_other_sees_it_at_once_and_nobody_listens_any_more() -> None:
    coming, listening, pair = hosts()
    mine, its = Records("a"), Records("b")
    async with asyncio.timeout(SOON), coming.crossing(mine, there) as crossing:
        async with listening.gate(its, (await proof.of_job(mine)).certificate) as gate:
            near = await crossing.open("words")
            far = await gate.stream("words")
            where = listening.where(its.id)
        with pytest.raises(Cut):
            await near.receive()
        with pytest.raises(NotThere):
            listening.where(its.id)
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(where.address, where.port)
        with pytest.raises(Cut):
            await crossing.open("words")
        del far
    async with met(coming, listening, pair) as (crossing, gate):
        near = await crossing.open("words")
        far = await gate.stream("words")
        crossing.close()
        with pytest.raises(Cut):
            await far.receive()


async def test_a_job_that_is_taken_up_again_has_the_same_papers_and_finds_the_new_port() -> None:
    coming, listening, pair = hosts()
    mine, its = Records("a"), Records("b")
    other = (await proof.of_job(mine)).certificate
    seen = set()
    async with asyncio.timeout(SOON), coming.crossing(mine, there) as crossing:
        for _ in range(2):
            async with listening.gate(its, other) as gate:
                stream = await crossing.open("words")
                await gate.stream("words")
                seen.add(listening.where(its.id).certificate)
                stream.close()
            with pytest.raises(Cut):
                await crossing.open("words")
    assert len(seen) == 1
    assert {op.job for op in pair.asked} == {other}  # type: ignore[attr-defined]


async def test_the_other_hosts_refusal_is_told_in_its_own_words() -> None:
    coming, listening, pair = hosts()
    async with met(coming, listening, pair) as (crossing, _gate):
        pair.refusal = NoSpace("no room there")
        with pytest.raises(NoSpace, match="no room there"):
            await crossing.open("words")
        await crossing.call_off()
    assert pair.called_off == ["a" * 32]


async def test_another_side_that_is_over_is_no_reason_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    coming, listening, pair = hosts()
    async with met(coming, listening, pair) as (crossing, _gate):

        async def over(job: str, op: object) -> object:
            from oms.bus.introduction import Introduced

            return Introduced("b" * 32, "done")

        monkeypatch.setattr(pair, "introduce", over)
        with pytest.raises(JobInterrupted, match="has ended"):
            await crossing.open("words")


async def test_a_stream_that_breaks_in_its_midst_has_no_end() -> None:
    async with met(*hosts()) as (crossing, gate):
        near = await crossing.open("disk")
        far = await gate.stream("disk")
        await near.send(b"half")
        assert await far.receive() == b"half"
        near.close()
        with pytest.raises(Cut):
            await far.receive()


async def test_what_is_no_piece_is_not_kept() -> None:
    async with met(*hosts()) as (crossing, gate):
        near = await crossing.open("disk")
        far = await gate.stream("disk")
        near._writer.write((LARGEST_BYTES + 1).to_bytes(4, "big"))
        with pytest.raises(Cut, match="no piece"):
            await far.receive()
        again = await crossing.open("words")
        heard = await gate.stream("words")
        await again.send(b"{")
        with pytest.raises(Cut, match="not understood"):
            await heard.hear(dict[str, str])
        for wrong in (b"", bytes(LARGEST_BYTES + 1)):
            with pytest.raises(ValueError, match="a piece has"):
                await again.send(wrong)


async def test_ports_that_others_have_are_passed_over_and_no_port_is_told() -> None:
    with taken_port() as other:
        port = other.getsockname()[1]
        coming, listening, pair = hosts(ports=[port])
        with pytest.raises(FuncManError, match="migration_ports"):
            async with met(coming, listening, pair):
                raise AssertionError("it listens on a port that it cannot have")
        _, listening, _ = hosts(ports=[port, *range(49300, 49400)])
        for _ in range(3):
            async with listening.gate(Records("b"), proof.make().certificate):
                assert listening.where("b" * 32).port != port


async def test_what_is_no_certificate_opens_nothing() -> None:
    _, listening, _ = hosts()
    with pytest.raises(FuncManError, match="certificate"):
        async with listening.gate(Records("b"), "nonsense"):
            raise AssertionError("it listens for nobody")


async def test_an_address_that_is_none_is_told() -> None:
    gate = Gate(proof.make(), proof.make().certificate, rate=None)  # type: ignore[arg-type]
    with pytest.raises(NotSupported, match="no IP address"):
        gate.open("nowhere.example", [49300])


@pytest.mark.parametrize(("text", "count"), [("49216-49279", 64), ("7000", 1)])
def test_ports_are_a_range(text: str, count: int) -> None:
    assert len(ports(text)) == count


@pytest.mark.parametrize("text", ["", "0", "10-5", "1-65536", "a-b", "-1", "1-2-3"])
def test_ports_that_are_none_are_refused_at_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="49216-49279"):
        checked(AgentConfig(server="https://oms.example:8000", name="node1", migration_ports=text))


def test_an_address_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match="migration"):
        checked(AgentConfig(server="https://oms.example:8000", name="node1", migration_address="eth0"))


def test_by_default_a_host_is_met_where_it_meets_oms() -> None:
    assert AgentConfig(server=f"https://{LOOPBACK}:8000").passages.address() == LOOPBACK
    assert AgentConfig(server="https://x:1", migration_address="192.0.2.7").passages.address() == "192.0.2.7"
    assert AgentConfig(server="https://no-such-name.invalid:8000").passages.address() == LOOPBACK
