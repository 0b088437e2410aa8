"""The signer at its socket: four verbs, hostile bytes, and a certificate only once it is in the log."""

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509

from oms.bus import enrolment
from oms.server.ca import signer
from oms.server.ca.client import SignerAway, SignerClient, SignerRefused
from oms.server.ca.protocol import LONGEST
from oms.server.ca.signer import SocketError, listening, serve

KEY = enrolment.make_key()
CSR = enrolment.make_csr(KEY, "h1").encode()
CSR_SHA256 = hashlib.sha256(CSR).hexdigest()


def now() -> datetime:
    return datetime.now(UTC)


class Room:
    """A directory with a signer's keys, its socket, and a client that is in no mood to wait."""

    def __init__(self, directory: Path) -> None:
        self.keys = directory / "ca"
        self.socket = directory / "signer.sock"
        self.client = SignerClient(self.socket, patience=2)

    @contextlib.asynccontextmanager
    async def signer(
        self, allowed: frozenset[int] = frozenset({os.getuid()}), clock: Callable[[], datetime] = now
    ) -> AsyncIterator[None]:
        with listening(self.socket, os.getgid()) as listener:
            task = asyncio.create_task(serve(self.keys, listener, allowed, clock=clock))
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def issued(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in (self.keys / "issued.jsonl").read_bytes().splitlines()]

    async def say(self, text: bytes) -> bytes:
        """Raw bytes to the signer; everything that it says until it hangs up."""
        for _ in range(3000):
            with contextlib.suppress(ConnectionRefusedError):
                reader, writer = await asyncio.open_unix_connection(self.socket)
                break
            await asyncio.sleep(0.02)
        else:
            raise AssertionError("nobody listens")
        writer.write(text)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        try:
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, text: bytes) -> dict[str, Any]:
        answer = await self.say(len(text).to_bytes(4, "big") + text)
        assert int.from_bytes(answer[:4], "big") == len(answer) - 4
        decoded: dict[str, Any] = msgspec.json.decode(answer[4:])
        return decoded


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


async def refused(client: SignerClient, csr: bytes, sha256: str, days: int = 90) -> SignerRefused:
    with pytest.raises(SignerRefused) as caught:
        await client.sign_host(csr, sha256, days)
    return caught.value


async def test_a_host_is_signed_by_the_host_ca_and_the_log_knows_it(room: Room) -> None:
    async with room.signer():
        trust = await room.client.ca()
        issued = await room.client.sign_host(CSR, CSR_SHA256)
    certificate = enrolment.read_certificate(issued.certificate)
    certificate.verify_directly_issued_by(enrolment.read_certificate(trust.host_ca))
    assert issued.name == "h1"
    assert issued.sha256 == enrolment.fingerprint(certificate)
    assert int(issued.serial, 16) == certificate.serial_number
    assert issued.not_after == certificate.not_valid_after_utc
    [line] = room.issued()
    assert (line["kind"], line["name"], line["serial"]) == ("host", "h1", issued.serial)
    assert line["certificate_sha256"] == issued.sha256
    assert line["key_sha256"] == enrolment.key_sha256(KEY)
    assert line["csr_sha256"] == CSR_SHA256
    assert datetime.fromisoformat(line["not_after"]) == issued.not_after


async def test_oms_own_certificates_come_from_the_server_ca(room: Room) -> None:
    async with room.signer():
        trust = await room.client.ca()
        der = enrolment.public_key(KEY)
        web = await room.client.issue_server(der, ["oms.example.org", "localhost"], ["127.0.0.1", "::1"])
        bus = await room.client.issue_identity(der, "bus")
    ca = enrolment.read_certificate(trust.server_ca)
    assert trust.server_ca_sha256 == enrolment.fingerprint(ca)
    assert trust.server_ca_sha256 != trust.host_ca_sha256
    for issued in (web, bus):
        enrolment.read_certificate(issued.certificate).verify_directly_issued_by(ca)
    assert [(line["kind"], line["name"]) for line in room.issued()] == [
        ("server", "oms.example.org localhost 127.0.0.1 ::1"),
        ("identity", "bus"),
    ]


async def test_twenty_years_become_ninety_days(room: Room) -> None:
    async with room.signer():
        issued = await room.client.sign_host(CSR, CSR_SHA256, days=7300)
        short = await room.client.sign_host(CSR, CSR_SHA256, days=1)
    assert issued.not_after - issued.not_before == timedelta(days=90)
    assert short.not_after - short.not_before == timedelta(days=1)


async def test_only_the_bytes_that_were_seen_are_signed(room: Room) -> None:
    other = enrolment.make_csr(enrolment.make_key(), "h1").encode()
    async with room.signer():
        for swapped in (other, CSR + b"\n"):
            assert (await refused(room.client, swapped, CSR_SHA256)).name == "changed"
    assert room.issued() == []


async def test_the_signer_reviews_again_whatever_it_is_told(room: Room) -> None:
    bad = CSR.replace(b"REQUEST", b"REQUISITION")
    async with room.signer():
        refusal = await refused(room.client, bad, hashlib.sha256(bad).hexdigest())
    assert refusal.name == "refused"
    assert "not one CSR in PEM form" in str(refusal)
    assert room.issued() == []


async def test_server_names_that_are_none_are_refused(room: Room) -> None:
    der = enrolment.public_key(KEY)
    async with room.signer():
        for dns, addresses, name in [
            (["*.example.org"], [], "refused"),
            ([], ["fe80::1%eth0"], "refused"),
            ([], [], "cannot_issue"),
            (["a"] * 65, [], "bad_request"),
        ]:
            with pytest.raises(SignerRefused) as caught:
                await room.client.issue_server(der, dns, addresses)
            assert caught.value.name == name
        with pytest.raises(SignerRefused, match="SubjectPublicKeyInfo"):
            await room.client.issue_identity(b"garbage", "sys")
    assert room.issued() == []


QUESTIONS = [
    b"",
    b"garbage",
    b"null",
    b"[]",
    b'{"verb":"ca"} {"verb":"ca"}',
    b'{"verb":"export_key"}',
    b'{"verb":"__init__"}',
    b'{"verb":"ca","path":"/etc/shadow"}',
    b'{"verb":"issue_identity","public_key":"","role":"root"}',
    b'{"verb":"sign_host","csr":"","csr_sha256":"x","days":90}',
    msgspec.json.encode({"verb": "sign_host", "csr": CSR, "csr_sha256": CSR_SHA256, "days": 0}),
    msgspec.json.encode({"verb": "sign_host", "csr": CSR, "csr_sha256": CSR_SHA256, "days": 1e308}),
    b'{"verb":"\xff\xfe"}',
    b'{"verb":"\\ud800"}',
    b"[" * 16000,
    b"9" * 16000,
    b"\x80\x04cos\nsystem\n",
]


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
async def test_what_is_no_question_is_refused_by_name_and_the_next_one_answered(
    room: Room, question: bytes
) -> None:
    async with room.signer():
        answer = await room.ask(question)
        assert answer["answer"] == "failure"
        assert answer["name"] == "bad_request"
        assert "Traceback" not in answer["message"]
        assert str(room.keys) not in answer["message"]
        assert (await room.client.ca()).host_ca
    assert room.issued() == []


async def test_what_is_too_long_is_not_even_read(room: Room) -> None:
    async with room.signer():
        for length in (LONGEST + 1, 2**32 - 1):
            answer = await room.say(length.to_bytes(4, "big"))
            assert b'"too_long"' in answer
        with pytest.raises(SignerRefused, match="at most 16384 bytes"):
            await room.client.sign_host(b"x" * LONGEST, CSR_SHA256)


async def test_a_peer_that_does_not_speak_is_hung_up_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signer, "CONVERSATION_SECONDS", 0.2)
    async with room.signer(), asyncio.timeout(30):
        assert await room.say(b"\0\0") == b""
        assert await room.say(b"\0\0\0\xff{") == b""


async def test_a_user_who_was_not_named_gets_nothing(room: Room) -> None:
    async with room.signer(allowed=frozenset({os.getuid() + 1})):
        assert (await refused(room.client, CSR, CSR_SHA256)).name == "not_allowed"
        with pytest.raises(SignerRefused, match="may not ask"):
            await room.client.ca()
    assert room.issued() == []


async def test_a_certificate_whose_line_did_not_reach_the_disk_is_not_handed_out(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    async with room.signer():
        await room.client.ca()
        with monkeypatch.context() as broken_disk:
            broken_disk.setattr(os, "fsync", fails)
            refusal = await refused(room.client, CSR, CSR_SHA256)
        assert refusal.name == "not_logged"
        assert room.issued() == []
        await room.client.sign_host(CSR, CSR_SHA256)
    assert len(room.issued()) == 1


async def test_a_bug_costs_one_answer_and_tells_only_a_reference(room: Room) -> None:
    times = iter([now(), "a clock that speaks of /etc/secret"])

    def clock() -> datetime:
        return next(times)  # type: ignore[return-value]

    async with room.signer(clock=clock):
        refusal = await refused(room.client, CSR, CSR_SHA256)
        assert refusal.name == "broken"
        assert "reference" in str(refusal)
        assert "secret" not in str(refusal)
        assert (await room.client.ca()).server_ca


async def test_a_signer_whose_clock_is_lost_says_so(room: Room) -> None:
    times = iter([now(), datetime(1970, 1, 1, tzinfo=UTC)])
    async with room.signer(clock=lambda: next(times)):
        refusal = await refused(room.client, CSR, CSR_SHA256)
    assert refusal.name == "cannot_issue"
    assert "set the clock" in str(refusal)


async def test_the_client_says_that_the_signer_is_away_and_what_to_do(room: Room) -> None:
    with pytest.raises(SignerAway, match="start it with `oms signer --socket"):
        await SignerClient(room.socket, patience=0.1).ca()


async def test_the_client_waits_for_a_signer_that_restarts(room: Room) -> None:
    async with room.signer():
        first = await room.client.ca()
    waiting = asyncio.create_task(room.client.ca())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    async with room.signer():
        assert await waiting == first


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\x10{", b"\0\0\0\x02{}", b"\xff\xff\xff\xff", b"\0\0\0\x04null"])
async def test_the_client_is_not_taken_in_by_what_is_no_signer(room: Room, answer: bytes) -> None:
    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(pretend, room.socket):
        with pytest.raises(SignerAway):
            await room.client.ca()


async def test_the_client_does_not_wait_for_ever_for_an_answer(room: Room) -> None:
    with listening(room.socket, os.getgid()) as silent:
        silent.listen()
        with pytest.raises(SignerAway, match="TimeoutError"):
            await SignerClient(room.socket, timeout=0.1).ca()


def test_the_socket_is_for_its_owner_and_group_and_goes_with_the_signer(room: Room) -> None:
    with listening(room.socket, os.getgid()):
        status = room.socket.stat()
        assert stat.S_IMODE(status.st_mode) == 0o660
    assert not room.socket.exists()


def test_a_dead_signers_socket_is_replaced_and_a_live_ones_is_not(room: Room) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(room.socket))
    with listening(room.socket, os.getgid()) as live:
        live.listen()
        with pytest.raises(SocketError, match="answers at"), listening(room.socket, os.getgid()):
            pass
        assert room.socket.exists()


def test_a_file_in_the_sockets_place_is_left_alone(room: Room) -> None:
    room.socket.write_text("precious")
    with pytest.raises(SocketError, match="no socket"), listening(room.socket, os.getgid()):
        pass
    assert room.socket.read_text() == "precious"


def test_a_socket_path_that_is_too_long_or_leads_nowhere_is_told_in_words(tmp_path: Path) -> None:
    for path in (tmp_path / ("x" * 120), tmp_path / "missing" / "s"):
        with pytest.raises(SocketError, match="cannot be made"), listening(path, os.getgid()):
            pass


async def test_hosts_of_one_signer_can_be_signed_many_at_once(room: Room) -> None:
    async with room.signer():
        issued = await asyncio.gather(*(room.client.sign_host(CSR, CSR_SHA256) for _ in range(20)))
    assert len({one.serial for one in issued}) == 20
    assert {line["serial"] for line in room.issued()} == {one.serial for one in issued}
    assert all(isinstance(enrolment.read_certificate(one.certificate), x509.Certificate) for one in issued)
