"""A host that means harm reaches nobody but OMS, and nothing at OMS but its own business."""

import asyncio
import ssl
from dataclasses import replace

import pytest

from oms.bus.nats import subjects
from oms.bus.nats.client import LinkFailed, connect
from oms.bus.nats.link import SERVER_TIMING
from oms.bus.wire import AnswerTooLarge, HostAway, NoAnswer, Refused
from tests.bus.nats.raw import Raw, pub, sub
from tests.bus.nats.rig import H1, H2, Rig
from tests.waiting import eventually

LISTEN = [
    f"oms.host.{H2}.>",
    f"oms.host.{H2}.kvmservices.list_vms",
    "oms.host.*.kvmservices.list_vms",
    "oms.host.>",
    "oms.>",
    ">",
    "*.host.>",
    "_INBOX.>",
    f"oms.reply.{H1}.>",
    f"oms.event.{H2}.>",
    "$SYS.>",
    "$SYS.REQ.USER.AUTH",
    "$JS.API.>",
]
SPEAK = [
    f"oms.host.{H2}.kvmservices.stop_vm",
    f"oms.host.{H1}.kvmservices.stop_vm",
    f"oms.event.{H2}.hello",
    f"oms.reply.{H2}.0123456789abcdef.1",
    f"oms.event.{H1}",
    "oms.event",
    "oms.all.call",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.USER.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.INFO",
    "_INBOX.abc",
]


@pytest.mark.parametrize("queue", ["", "oms"])
async def test_a_host_hears_nothing_but_its_own_calls(rig: Rig, queue: str) -> None:
    await rig.oms()
    async with Raw(rig, rig.sign(H1)) as host:
        assert await host.greet() == []
        for number, subject in enumerate(LISTEN, 10):
            (refusal,) = await host.say(sub(subject, number, queue))
            assert refusal.startswith(b"-ERR 'Permissions Violation for Subscription"), subject
        assert await host.say(sub(f"oms.host.{H1}.>", 1, queue)) == []


async def test_a_host_speaks_nowhere_but_as_itself(rig: Rig) -> None:
    await rig.oms()
    async with Raw(rig, rig.sign(H1)) as host:
        assert await host.greet() == []
        for subject in SPEAK:
            (refusal,) = await host.say(pub(subject))
            assert refusal.startswith(b"-ERR 'Permissions Violation for Publish"), subject
        assert await host.say(pub(f"oms.event.{H1}.hello")) == []
        await eventually(lambda: rig.events == [(H1, "hello", b"x")])


@pytest.mark.parametrize(
    "claims",
    [
        {"user": "oms://server/sys"},
        {"user": "oms://server/bus", "pass": "x"},
        {"user": H2, "name": H2},
        {"jwt": "eyJ0eXAiOiJKV1QifQ.e30.x", "nkey": "UABC", "sig": "x"},
        {"auth_token": "oms://server/sys"},
    ],
)
async def test_who_a_host_says_it_is_does_not_count(rig: Rig, claims: dict[str, str]) -> None:
    oms = await rig.oms()
    async with Raw(rig, rig.sign(H1)) as host:
        if await host.greet(**claims) == []:
            await eventually(lambda: oms.connected_hosts() == {H1})
            assert await host.say(sub("$SYS.>")) != []
            assert await host.say(pub(f"oms.event.{H2}.hello")) != []
    assert [told for told in rig.presence if told[0] != H1] == []


async def test_a_certificate_that_is_not_signed_here_is_refused_at_once(rig: Rig) -> None:
    oms = await rig.oms()
    stranger = rig.pki.host("stranger")
    with pytest.raises(Refused):
        await connect(rig.address, rig.credentials(stranger), name="x", timeout=20)
    with pytest.raises(Refused):  # nats-server's own
        await connect(rig.address, rig.credentials(rig.pki.nats), name="x", timeout=20)
    assert oms.connected_hosts() == frozenset()


async def test_no_certificate_or_one_of_another_authority_is_refused(rig: Rig) -> None:
    await rig.oms()
    elsewhere = type(rig.pki.hosts).new("OMS host CA")  # the same name, another key
    forged = rig.pki.issue("forged", elsewhere, [])
    with pytest.raises(Refused):
        await connect(rig.address, rig.credentials(forged), name="x", timeout=20)
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
        async with Raw(rig, None) as nobody:
            await nobody.line()
    assert rig.lookups == 0


async def test_an_expired_certificate_is_refused(rig: Rig) -> None:
    await rig.oms()
    old = rig.pki.host("old", days=-1)
    with pytest.raises(Refused):
        await connect(rig.address, rig.credentials(old), name="x", timeout=20)


async def test_tls_1_2_is_refused(rig: Rig) -> None:
    await rig.oms()
    with pytest.raises(ssl.SSLError):
        async with Raw(rig, rig.sign(H1), ssl.TLSVersion.TLSv1_2):
            pass
    assert rig.lookups == 0


async def test_plaintext_gets_not_one_byte(rig: Rig) -> None:
    await rig.oms()
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    answer = b""
    try:
        async with asyncio.timeout(1):
            answer = await reader.read(1)
    except (TimeoutError, ConnectionResetError):
        pass
    finally:
        writer.transport.abort()
    assert answer in (b"", b"\x15")  # \x15: a TLS alert


async def test_a_server_of_another_authority_is_not_believed(rig: Rig) -> None:
    """Who does not show a certificate of the bus's own authority is not nats-server."""
    only_hosts = rig.folder / "hosts-only.crt"
    only_hosts.write_bytes(rig.pki.hosts.pem)
    credentials = replace(rig.credentials(rig.sign(H1)), ca_file=only_hosts)
    with pytest.raises(LinkFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await connect(rig.address, credentials, name="x", timeout=20)


class Impostor:
    """H1, writing its own answers: `seen` are the requests, as (subject, reply)."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw

    async def request(self) -> str:
        """The reply subject of the next request."""
        while True:
            line = await self.raw.line()
            if line.startswith(b"MSG "):
                await self.raw.line()
                return line.split(b" ")[3].decode()


async def test_forged_late_and_doubled_answers_are_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.bus.nats.meter.WINDOW_S", 600)
    oms = await rig.oms()
    gate = asyncio.Event()

    async def honest(_verb: str, _payload: bytes) -> bytes:
        await gate.wait()
        return b"honest"

    await rig.agent(H2, honest)
    async with Raw(rig, rig.sign(H1)) as raw:
        assert await raw.greet() == []
        assert await raw.say(sub(f"oms.host.{H1}.>")) == []
        await eventually(lambda: oms.connected_hosts() == {H1, H2})
        host = Impostor(raw)
        mine = asyncio.create_task(oms.request(H1, "go", b"", 60))
        reply = await host.request()
        other = asyncio.create_task(oms.request(H2, "go", b"", 60))
        await asyncio.sleep(0.05)
        server, number = reply.split(".")[3], int(reply.split(".")[4])
        # H2 was asked next: its number is known, and its subject is closed to us ...
        (refusal,) = await raw.say(pub(subjects.reply(H2, server, number + 1), b"forged"))
        assert b"Permissions Violation" in refusal
        # ... while that number under our own name is nobody's.
        for forged in (number + 1, number + 2, 0, -1):
            assert await raw.say(pub(subjects.reply(H1, server, forged), b"forged")) == []
        assert not other.done()
        assert await raw.say(pub(reply, b"one"), pub(reply, b"two")) == []
        assert await mine == b"one"
        gate.set()
        assert await other == b"honest"
        late = asyncio.create_task(oms.request(H1, "go", b"", 0.1))
        reply = await host.request()
        with pytest.raises(NoAnswer):
            await late
        counted = oms._meter._windows[H1].messages  # the four forged ones and the double
        assert await raw.say(pub(reply, b"late")) == []
        await oms._bus.client.barrier(60)  # type: ignore[union-attr]
        assert oms._meter._windows[H1].messages == counted == 5  # OMS asked for it: no fault of the host's
        assert await raw.say(pub(reply, b"late")) == []
        await eventually(lambda: oms._meter._windows[H1].messages == 6)
        assert await oms.request(H2, "go", b"", 30) == b"honest"


async def test_a_host_cannot_make_oms_answer_or_relay(rig: Rig) -> None:
    """The reply subject in a host's message is not checked by nats-server: OMS must not answer there."""
    await rig.oms()
    calls: list[str] = []

    async def handler(verb: str, _payload: bytes) -> bytes:
        calls.append(verb)
        return b""

    await rig.agent(H2, handler)
    async with Raw(rig, rig.sign(H1)) as raw:
        assert await raw.greet() == []
        assert await raw.say(pub(f"oms.event.{H1}.hello", b"x", f"oms.host.{H2}.kvmservices.stop_vm")) == []
        await eventually(lambda: bool(rig.events))
    assert calls == []


STRANGE = {
    "not UTF-8": pub(f"oms.event.{H1}.".encode() + b"\xff\xfe"),
    "vertical tab": pub(f"oms.event.{H1}.a".encode() + b"\x0bb"),
    "vertical tab and a number": pub(f"oms.event.{H1}.a".encode() + b"\x0b2"),
    "form feed": pub(f"oms.event.{H1}.a".encode() + b"\x0cb"),
    "carriage return": pub(f"oms.event.{H1}.a".encode() + b"\rb"),
    "no-break space": pub(f"oms.event.{H1}.a\xa0b".encode("latin-1")),
    "reply not UTF-8": b"PUB " + f"oms.event.{H1}.a".encode() + b" \xff 1\r\nx\r\n",
    "reply with a form feed": b"PUB " + f"oms.event.{H1}.a".encode() + b" a\x0c7 1\r\nx\r\n",
    "header of one byte": f"HPUB oms.event.{H1}.a 1 2\r\n".encode() + b"\nx\r\n",
    "header of two bytes": f"HPUB oms.event.{H1}.a 2 3\r\n".encode() + b"\r\nx\r\n",
    "header not UTF-8": f"HPUB oms.event.{H1}.a 16 17\r\n".encode() + b"NATS/1.0 \xff\xff\xff\r\n\r\nx\r\n",
    "header of nothing": f"HPUB oms.event.{H1}.a 0 1\r\n".encode() + b"x\r\n",
    "no topic": pub(f"oms.event.{H1}."),
    "wildcard topic": pub(f"oms.event.{H1}.*"),
    "a megabyte too much": pub(f"oms.event.{H1}.a", bytes(3 * 1024 * 1024)),
}


@pytest.mark.parametrize("what", STRANGE)
async def test_strange_bytes_of_one_host_hurt_nobody_else(rig: Rig, what: str) -> None:
    """OMS has one connection for all hosts: what one of them writes must not end it, or get at another's road."""
    oms = await rig.oms()
    await rig.agent(H2)
    client = oms._bus.client
    assert client is not None
    async with Raw(rig, rig.sign(H1)) as raw:
        assert await raw.greet() == []
        for _ in range(3):
            await raw.say(STRANGE[what])
        if await raw.say() != [b"closed"]:
            await raw.say(pub(f"oms.event.{H1}.after", b"whole"))
            await eventually(lambda: (H1, "after", b"whole") in rig.events)
    assert await oms.request(H2, "go", b"", 30) == b"go "
    await client.barrier(60)
    assert oms._bus.client is client
    assert [event for event in rig.events if event[:2] not in ((H1, "a"), (H1, "after"))] == []


@pytest.mark.parametrize(
    ("headers", "meaning"),
    [
        (b"NATS/1.0\r\nOms-Status: too-large\r\n\r\n", AnswerTooLarge),
        (b"NATS/1.0\r\nOms-Status: nonsense\r\n\r\n", NoAnswer),
        (b"NATS/1.0\r\n\r\n", NoAnswer),
        (b"\xff\xff", NoAnswer),
        (b"NATS/1.0 503\r\n\r\n", HostAway),
    ],
)
async def test_strange_answers_are_one_host_s_failure(rig: Rig, headers: bytes, meaning: type[Exception]) -> None:
    oms = await rig.oms()
    async with Raw(rig, rig.sign(H1)) as raw:
        assert await raw.greet() == []
        assert await raw.say(sub(f"oms.host.{H1}.>")) == []
        await eventually(lambda: oms.connected_hosts() == {H1})
        size = len(headers)

        async def answer() -> None:
            while True:
                reply = await Impostor(raw).request()
                await raw.say(f"HPUB {reply} {size} {size}\r\n".encode() + headers + b"\r\n")

        answering = asyncio.create_task(answer())
        with pytest.raises(meaning):
            await oms.request(H1, "go", b"", 60)
        answering.cancel()


@pytest.mark.parametrize("road", [f"oms.event.{H1}.a", f"oms.event.{H1}.\x0b", f"oms.reply.{H1}.x.1"])
@pytest.mark.parametrize("size", [0, 1024 * 1024])
async def test_a_host_that_floods_is_sent_away(
    rig: Rig, road: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """... before the others feel it: nats-server would drop OMS's connection when it cannot keep up."""
    monkeypatch.setattr("oms.bus.nats.meter.WINDOW_S", 600)  # however long this machine takes for as much
    oms = await rig.oms(timing=SERVER_TIMING)
    await rig.agent(H2)
    await eventually(lambda: oms.connected_hosts() == {H2})
    client = oms._bus.client
    async with Raw(rig, rig.sign(H1)) as raw:
        assert await raw.greet() == []
        await eventually(lambda: oms.connected_hosts() == {H1, H2})
        server = oms._requests._token  # it stands in each request, so a host knows it
        message = pub(road.replace(".x.", f".{server}."), bytes(size))
        flooding = asyncio.create_task(raw.flood(message, 2500 if size == 0 else 60))
        while not flooding.done():
            assert await oms.request(H2, "go", b"", 60) == b"go "
        await flooding
        await eventually(lambda: oms.connected_hosts() == {H2})
    assert oms._bus.client is client
    with pytest.raises(Refused):
        await connect(rig.address, rig.credentials(rig.sign(H1)), name="x", timeout=20)


async def test_a_request_that_wants_no_answer_from_us_is_not_run(rig: Rig) -> None:
    """Only OMS may publish to a host; even so, an agent answers nowhere but in its own name."""
    await rig.oms()
    calls: list[str] = []

    async def handler(verb: str, _payload: bytes) -> bytes:
        calls.append(verb)
        return b""

    await rig.agent(H1, handler)
    async with Raw(rig, rig.pki.calls) as raw:
        assert await raw.greet() == []
        for reply in ("", f"oms.reply.{H2}.s.1", "_INBOX.x"):
            await raw.say(pub(f"oms.host.{H1}.go", b"", reply))
        await raw.say(pub(f"oms.host.{H1}.last", b"", f"oms.reply.{H1}.s.1"))
    await eventually(lambda: calls == ["last"])


async def test_oms_s_own_connection_for_calls_can_do_no_more_than_that(rig: Rig) -> None:
    async with Raw(rig, rig.pki.calls) as raw:
        assert await raw.greet() == []
        for line in (sub("oms.host.>"), sub("$SYS.>"), pub("oms.event.x.y"), pub("$SYS.REQ.SERVER.PING")):
            (refusal,) = await raw.say(line)
            assert b"Permissions Violation" in refusal
