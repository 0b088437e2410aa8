"""The client over the wire: TLS, one server, honest hosts."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from oms.client import Client, ClientError, NotOurs, OutOfReach, calls
from oms.client.ways import PAUSES_SECONDS, Response
from oms.contract import auth, func, kvm, tag, task
from oms.contract.errors import (
    AuthError,
    FuncManError,
    FuncMethodTimeoutError,
    HostUnavailable,
    NoSuchMachine,
    ParameterMismatch,
)
from oms.server.ca import authority
from tests.server.door import Door
from tests.server.rig import PASSWORD, answering

MACHINE = kvm.Machine(1, [], kvm.MachineStats(cpu=kvm.CpuStats("12.50")), "vm1", "vm1")


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    """An administrator's."""
    async with Client(door.url, ca_sha256=door.server.ca_sha256) as made:
        await made.login("admin", PASSWORD)
        yield made


async def test_a_session_begins_and_ends(door: Door, client: Client) -> None:
    assert await client.call(auth.Checksessid()) == 0
    sessid = client.sessid
    await client.logout()
    assert client.sessid == ""
    client.sessid = sessid
    with pytest.raises(AuthError):
        await client.call(auth.Checksessid())
    with pytest.raises(auth.DeathError):
        await client.logout()
    with pytest.raises(AuthError):
        await client.login("admin", "not the password")


async def test_answers_are_typed_and_errors_are_the_contracts_own(door: Door, client: Client) -> None:
    async def start(op: kvm.StartVm) -> int:
        if op.kvm_vm_name != "vm1":
            raise NoSuchMachine("There is no machine vm9.", name=op.kvm_vm_name)
        return 0

    await door.oms.sign_in_host("h1", {kvm.ListVms: answering([MACHINE]), kvm.StartVm: start})
    assert await client.call(kvm.ListVms(("cpu",)), host="h1") == [MACHINE]
    (host,) = await client.call(func.ListSigned())
    assert (type(host), host.name) == (func.SignedHost, "h1")
    assert await client.call(kvm.StartVm("vm1"), host="h1") == 0
    with pytest.raises(NoSuchMachine, match="There is no machine vm9"):
        await client.call(kvm.StartVm("vm9"), host="h1")
    with pytest.raises(HostUnavailable):
        await client.call(kvm.ListVms(), host="h9")
    with pytest.raises(ParameterMismatch) as mismatch:
        await client.call(kvm.StartVm("-rf"), host="h1")
    assert mismatch.value.data == {"parameter": "kvm_vm_name"}


async def test_a_recorded_answer_is_taken_where_it_is_young_enough(door: Door, client: Client) -> None:
    host = await door.oms.sign_in_host("h1", {kvm.ListVms: answering([MACHINE])})
    for cache_timeout, asked in ((0, 1), (60, 1), (0, 2)):
        await client.call(kvm.ListVms(), host="h1", cache_timeout=cache_timeout)
        assert host.done["list_vms"] == asked


async def test_many_tasks_call_at_once(door: Door, client: Client) -> None:
    await door.oms.sign_in_host("h1", {kvm.ListVms: answering([MACHINE])})
    found = await asyncio.gather(*(client.call(kvm.ListVms(), host="h1") for _ in range(30)))
    assert found == [[MACHINE]] * 30


async def test_a_change_that_takes_longer_than_its_call_is_waited_for_where_asked(
    door: Door, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm.StopVm, "facts", msgspec.structs.replace(kvm.StopVm.facts, timeout=2))
    gate = asyncio.Event()

    async def slowly(op: kvm.StopVm) -> int:
        await gate.wait()
        if op.kvm_vm_name == "vm9":
            raise NoSuchMachine("There is no machine vm9.")
        return 0

    host = await door.oms.sign_in_host("h1", {kvm.StopVm: slowly})
    with pytest.raises(FuncMethodTimeoutError) as unknown:
        await client.call(kvm.StopVm("vm1"), host="h1")
    good = asyncio.create_task(client.call(kvm.StopVm("vm1"), host="h1", wait=True))
    bad = asyncio.create_task(client.call(kvm.StopVm("vm9"), host="h1", wait=True))
    await asyncio.sleep(2.5)
    assert not good.done()
    gate.set()
    assert await good == 0
    with pytest.raises(FuncManError, match="There is no machine vm9") as failed:
        await bad
    (vm9,) = (found for found in await client.call(task.ListTasks()) if found.target == "vm9")
    assert failed.value.data["job"] == vm9.id
    (vm1,) = (found for found in await client.call(task.ListTasks()) if found.target == "vm1")
    assert unknown.value.data["job"] == vm1.id
    assert host.done["stop_vm"] == 2


# --- whom it believes


async def test_only_the_oms_that_was_meant_is_called(door: Door, tmp_path: Path) -> None:
    with pytest.raises(NotOurs, match="is not the OMS that was meant"):
        async with Client(door.url, ca_sha256="ab" * 32):
            pass
    assert door.asked == ["/ca.pem"]
    file = tmp_path / "ca.pem"
    file.write_text(door.server.web_ca)
    async with Client(door.url, ca_file=file) as client:
        await client.login("admin", PASSWORD)
    with pytest.raises(NotOurs, match="is not the OMS that was meant"):
        async with Client(door.url, ca_file=file, ca_sha256="ab" * 32):
            pass
    file.write_text(authority.pem(authority.create("server", datetime.now(UTC)).certificate))
    async with Client(door.url, ca_file=file) as client:
        with pytest.raises(NotOurs, match="is not verified by the CA that was given"):
            await client.login("admin", PASSWORD)
    async with Client(door.url) as client:
        with pytest.raises(NotOurs, match="this machine's own CAs, and the fingerprint"):
            await client.login("admin", PASSWORD)


async def test_a_name_that_is_not_in_the_certificate_is_not_believed(door: Door) -> None:
    async with Client(f"https://0.0.0.0:{door.port}", ca_sha256=door.server.ca_sha256) as client:
        with pytest.raises(NotOurs, match="is not verified by the CA that was given"):
            await client.login("admin", PASSWORD)


async def test_a_fingerprint_may_be_written_as_people_write_it(door: Door) -> None:
    digits = door.server.ca_sha256.upper()
    written = ":".join(digits[place : place + 2] for place in range(0, 64, 2))
    async with Client(f"{door.url}/", ca_sha256=written) as client:
        await client.login("admin", PASSWORD)


def test_an_address_that_is_not_https_is_refused() -> None:
    with pytest.raises(ValueError, match="legal is https://NAME:PORT"):
        Client("http://127.0.0.1:8000")


# --- when there is no answer


async def test_a_server_that_is_away_is_told_as_that(door: Door, client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = f"https://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(OutOfReach, match="cannot be reached: nothing listens there; see that OMS is running"):
        async with Client(away, ca_sha256="ab" * 32):
            pass


async def test_a_lost_answer_is_asked_for_again_and_a_change_of_a_host_is_done_once(
    door: Door, client: Client
) -> None:
    host = await door.oms.sign_in_host("h1", {kvm.StopVm: answering(0), kvm.ListVms: answering([])})
    for op, done in ((kvm.StopVm("vm1"), "stop_vm"), (kvm.ListVms(), "list_vms")):
        door.lose, asked = 1, len(door.asked)
        assert await client.call(op, host="h1") in (0, [])
        assert len(door.asked) - asked == 2
        assert door.lose == 0
        assert host.done[done] == (1 if op.facts.changes else 2)
    (job,) = await client.jobs.list()
    assert (job.state, job.target) == ("done", "vm1")


async def test_what_was_sent_stays_unknown_where_nobody_is_there_any_more(door: Door) -> None:
    host = await door.oms.sign_in_host("h1", {kvm.StopVm: answering(0)})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = f"https://127.0.0.1:{taken.getsockname()[1]}"
    async with Client([door.url, away], ca_sha256=door.server.ca_sha256) as client:
        await client.login("admin", PASSWORD)
        door.lose = len(PAUSES_SECONDS)
        with pytest.raises(OutOfReach, match=r"answer.*Whether it was done is not known"):
            await client.call(kvm.StopVm("vm1"), host="h1")
    assert door.lose == 0
    assert host.done["stop_vm"] == 1


async def test_what_could_be_done_twice_is_never_sent_twice(door: Door, client: Client) -> None:
    await door.oms.sign_in_host("h1", {})
    door.lose, asked = 1, len(door.asked)
    with pytest.raises(OutOfReach, match=r"Whether it was done is not known: taskservices.list_tasks says it"):
        await client.call(tag.AddTag("web", "h1"))
    assert len(door.asked) - asked == 1


async def test_a_key_of_a_job_is_of_that_call_alone(door: Door, client: Client) -> None:
    host = await door.oms.sign_in_host("h1", {kvm.StopVm: answering(0)})

    async def asked(op: kvm.StopVm, key: str) -> Response:
        body = calls.call(op, sessid=client.sessid, host="h1", cache_timeout=0)
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return await client.ways.request("POST", f"{door.url}/", body, headers, 10)

    key = "8E03978E-40D5-43E8-BC93-6894A57F9324"
    for _ in range(2):
        assert calls.answered(kvm.StopVm("vm1"), (await asked(kvm.StopVm("vm1"), key)).body) == 0
    assert host.done["stop_vm"] == 1
    assert (await client.jobs.find(key.replace("-", "").lower())).state == "done"
    with pytest.raises(ParameterMismatch) as other:
        calls.answered(kvm.StopVm("vm2"), (await asked(kvm.StopVm("vm2"), key)).body)
    assert other.value.data == {"parameter": "Idempotency-Key"}
    refused = await asked(kvm.StopVm("vm1"), "one")
    assert (refused.status, refused.text[:20]) == (400, "An Idempotency-Key i")
    assert host.done["stop_vm"] == 1


async def test_a_change_is_begun_and_watched(door: Door, client: Client) -> None:
    gate = asyncio.Event()

    async def slowly(op: kvm.StopVm) -> int:
        await gate.wait()
        if op.kvm_vm_name == "vm9":
            raise NoSuchMachine("There is no machine vm9.")
        return 0

    await door.oms.sign_in_host("h1", {kvm.StopVm: slowly})
    good = await client.begin(kvm.StopVm("vm1"), host="h1")
    assert await client.begin(kvm.StopVm("vm1"), host="h1") == good
    bad = await client.begin(kvm.StopVm("vm9"), host="h1")
    seen: list[task.Task] = []

    def watch(job: task.Task) -> None:
        seen.append(job)
        gate.set()

    assert await client.call(kvm.StopVm("vm1"), host="h1", progress=watch) == 0
    assert {job.id for job in seen} == {good}
    assert seen[-1].state == "done"
    assert (await client.jobs.wait(bad)).state == "failed"
    with pytest.raises(FuncManError, match="There is no machine vm9") as failed:
        await client.jobs.ended(bad)
    assert failed.value.data["job"] == bad


# --- several addresses


async def test_addresses_are_tried_in_turn_and_the_one_that_answers_is_kept(door: Door) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = f"https://127.0.0.1:{taken.getsockname()[1]}"
    async with Client([away, door.url], ca_sha256=door.server.ca_sha256) as client:
        await client.login("admin", PASSWORD)
        assert client.url == door.url
        await client.call(tag.ListTags())


async def test_what_is_no_oms_is_told_as_that(door: Door, tmp_path: Path) -> None:
    async def page(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = b"<html>"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(door.server.web.certificate, door.server.web.key)
    async with await asyncio.start_server(page, "127.0.0.1", 0, ssl=context) as other:
        url = f"https://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        with pytest.raises(NotOurs, match="gives no CA certificate: it is no OMS"):
            async with Client(url, ca_sha256="ab" * 32):
                pass
        file = tmp_path / "ca.pem"
        file.write_text(door.server.web_ca)
        async with Client(url, ca_file=file) as client:
            with pytest.raises(ClientError, match="with what is not known here"):
                await client.call(auth.Checksessid())


async def test_a_refusal_below_the_calls_is_shown(door: Door, client: Client) -> None:
    client.ways.urls[0] += "/nothing"
    with pytest.raises(ClientError, match="answers 404: There is nothing here"):
        await client.call(auth.Checksessid())
