"""How hosts get in and out: they ask, an administrator signs or refuses, they renew, they are removed."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from cryptography import x509

from oms.bus import enrolment
from oms.contract.kvm import ListVmsStatus, StopVm
from oms.server.enrol import MOST_NEW_A_MINUTE, REQUEST_LIVES_SECONDS
from oms.server.store import hosts, now, tables
from tests.server.asgi import Reply
from tests.server.rig import Oms, answering, signing
from tests.waiting import eventually

SIGN, REMOVE = "funcservices.sign_requests", "funcservices.remove_signed"


async def names(oms: Oms, method: str = "list_requests") -> list[str]:
    found = await (await oms.as_viewer()).ask(f"funcservices.{method}", 0)
    return [host["name"] for host in found]


async def renew(oms: Oms, old: bytes, certificate: str, new: bytes, name: str = "h1") -> Reply:
    csr = enrolment.make_csr(new, name)
    request = enrolment.sign_renewal(old, certificate, csr, datetime.now(UTC))
    return await oms.request("POST", "/enrol/renew", body=msgspec.json.encode(request))


async def signed(oms: Oms, name: str = "h1", key: bytes | None = None) -> tuple[bytes, dict[str, Any]]:
    """A host's key and what it was told when it was signed."""
    key = key or enrolment.make_key()
    await oms.enrol(name, key)
    await (await oms.as_admin()).ask(SIGN, 0, [name])
    return key, (await oms.enrol(name, key)).json


# --- asking


async def test_a_host_that_asks_waits_and_is_told_the_fingerprint_of_its_key(oms: Oms) -> None:
    key = enrolment.make_key()
    for _ in range(3):
        reply = await oms.enrol("h1", key)
        assert (reply.status, reply.json) == (200, {"state": "waiting", "key_sha256": enrolment.key_sha256(key)})
    assert await names(oms) == ["h1"]
    assert await names(oms, "list_signed") == []


async def test_a_signed_host_is_told_all_it_needs_whenever_it_asks(oms: Oms) -> None:
    key, told = await signed(oms)
    assert await names(oms) == []
    assert await names(oms, "list_signed") == ["h1"]
    certificate = enrolment.read_certificate(told["certificate"])
    certificate.verify_directly_issued_by(enrolment.read_certificate(told["host_ca"]))
    assert hashlib.sha256(enrolment.public_key(key)).hexdigest() == told["key_sha256"]
    assert told["server_ca"] == oms.seed.trust.server_ca
    assert told["bus_url"] == "tls://localhost:4222"
    assert len(told["host_id"]) == 32
    assert (await oms.enrol("h1", key)).json == told


async def test_the_bus_is_where_the_host_knows_the_server(oms: Oms) -> None:
    key = enrolment.make_key()
    await oms.enrol("h1", key)
    await (await oms.as_admin()).ask(SIGN, 0, ["h1"])
    body = msgspec.json.encode({"csr": enrolment.make_csr(key, "h1")})
    for host, url in (("192.0.2.1:8000", "192.0.2.1"), ("[::1]:8000", "[::1]"), ("localhost", "localhost")):
        reply = await oms.request("POST", "/enrol", body=body, headers={"host": host})
        assert reply.json["bus_url"] == f"tls://{url}:4222"


async def test_the_ca_that_agents_pin_is_there_for_everybody(oms: Oms) -> None:
    reply = await oms.request("GET", "/ca.pem")
    assert reply.body.decode() == oms.seed.trust.server_ca
    told = await (await oms.as_viewer()).ask("funcservices.ca_sha256", 0)
    assert told == {"sha256": enrolment.fingerprint(enrolment.read_certificate(reply.body.decode()))}


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("GET", b"", 405),
        ("PUT", b"{}", 405),
        ("POST", b"", 400),
        ("POST", b"[]", 400),
        ("POST", b'{"csr": 7}', 400),
        ("POST", b'{"csr": "\xff"}', 400),
        ("POST", b'{"csr": "x", "facts": ' + b"[" * 20_000, 400),
        ("POST", b'{"csr": "x", "facts": {"a": 1e999}}', 400),
        ("POST", b'{"csr": "' + b"x" * 8193 + b'"}', 400),
        ("POST", b'{"csr": "no CSR"}', 403),
        ("POST", b"x" * 24_577, 413),
    ],
)
@pytest.mark.parametrize("page", ["/enrol", "/enrol/renew"])
async def test_what_is_no_request_is_refused_in_words(
    oms: Oms, page: str, verb: str, body: bytes, status: int
) -> None:
    reply = await oms.request(verb, page, body=body)
    assert reply.status == (400 if page == "/enrol/renew" and status == 403 else status)
    assert reply.json["error"].endswith(".")
    assert await names(oms) == []


async def test_facts_that_are_not_understood_are_not_believed(oms: Oms) -> None:
    key = enrolment.make_key()
    for facts in ({"hypervisors": "kvm"}, {"version": 1}, {}, {"version": "1", "cpus": 10**18}):
        body = msgspec.json.encode({"csr": enrolment.make_csr(key, "h1"), "facts": facts})
        assert (await oms.request("POST", "/enrol", body=body)).json["state"] == "waiting"
    assert await (await oms.as_admin()).ask(SIGN, 0, ["h1"]) == [{"name": "h1"}]  # of no type that could be found
    [host] = await (await oms.as_viewer()).ask("funcservices.list_signed", 0)
    assert host["tags"] == [{"tag": "physical", "level": 1}]


async def test_new_requests_are_counted_by_address_and_repeated_ones_are_not(oms: Oms) -> None:
    key = enrolment.make_key()
    body = msgspec.json.encode({"csr": enrolment.make_csr(key, "h0")})
    for _ in range(2 * MOST_NEW_A_MINUTE):
        reply = await oms.request("POST", "/enrol", body=body, address="192.0.2.20")
        assert reply.json["state"] == "waiting"
    for number in range(1, MOST_NEW_A_MINUTE):
        assert (await oms.enrol(f"h{number}")).status == 200
    refused = await oms.enrol("h99")
    assert (refused.status, "a minute" in refused.json["error"]) == (403, True)
    assert (await oms.enrol("h0", key)).json["state"] == "waiting"  # another CSR by the same key
    assert (await oms.enrol("h99", address="192.0.2.21")).status == 200
    assert "h99" in await names(oms)


async def test_a_machine_is_counted_once_however_many_ipv6_addresses_it_has(oms: Oms) -> None:
    asked = [await oms.enrol(f"h{number}", address=f"2001:db8::{number:x}") for number in range(12)]
    assert [reply.status for reply in asked] == [200] * MOST_NEW_A_MINUTE + [403] * 2
    assert (await oms.enrol("h99", address="2001:db8:0:1::1")).status == 200


async def test_a_request_that_changes_all_the_time_is_written_so_often_a_minute(oms: Oms) -> None:
    key = enrolment.make_key()
    csr = enrolment.make_csr(key, "h1")
    for number in range(3 * MOST_NEW_A_MINUTE):
        body = msgspec.json.encode({"csr": csr, "facts": {"version": "1", "vmcount": number}})
        assert (await oms.request("POST", "/enrol", body=body)).json["state"] == "waiting"
    kept = await oms.store.read(lambda tx: hosts.request_by_key(tx, enrolment.key_sha256(key)))
    assert kept is not None
    assert msgspec.json.decode(kept.facts)["vmcount"] == MOST_NEW_A_MINUTE - 1


async def test_so_many_requests_wait_and_no_more(oms: Oms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.server.enrol.MOST_WAITING", 3)
    statuses = [(await oms.enrol(f"h{number}")).status for number in range(5)]
    assert statuses == [200, 200, 200, 403, 403]
    assert await names(oms) == ["h0", "h1", "h2"]
    await (await oms.as_admin()).ask("funcservices.remove_requests", 0, ["h1"])
    assert (await oms.enrol("h4")).status == 200


async def test_a_request_is_forgotten_after_a_day(oms: Oms) -> None:
    await oms.enrol("h1")
    long_ago = now() - REQUEST_LIVES_SECONDS - 1
    await oms.store.write(lambda tx: tx.execute(sa.update(tables.requests).values(created=long_ago)))
    await oms.enrol("h2")
    assert await names(oms) == ["h2"]


# --- signing


async def test_signing_makes_a_certificate_an_ssh_key_and_a_type(oms: Oms) -> None:
    _, told = await signed(oms)
    host = await oms.store.read(lambda tx: hosts.by_name(tx, "h1"))
    assert host is not None
    assert host.certificate == told["certificate"]
    certificate = x509.load_pem_x509_certificate(host.certificate.encode())
    assert host.not_after == certificate.not_valid_after_utc.timestamp()
    assert host.not_after - now() < 90 * 86_400
    assert (host.type, host.signed_by) == ("KVM", "admin")
    assert host.ssh_public.startswith("ssh-ed25519 ")
    described = await (await oms.as_viewer()).ask("funcservices.describe_host", 0, "h1")
    assert described["certificate_sha256"] == enrolment.fingerprint(certificate)
    assert described["key_sha256"] == told["key_sha256"]
    assert "ssh_private" not in str(described)


@pytest.mark.parametrize("known", [[], ["h1"]])
@pytest.mark.parametrize("unknown", ["*", "h?", "h", "H1", "h1.", "/etc/passwd", "../h1", "", "%", "h1' OR 1=1--"])
async def test_names_are_literal_and_an_unknown_one_stops_all(oms: Oms, known: list[str], unknown: str) -> None:
    await oms.enrol("h1")
    await oms.enrol("h2")
    admin = await oms.as_admin()
    error = await admin.error(SIGN, 0, [*known, unknown])
    assert (error.name, error.data) == ("UnknownSignRequestsError", {"unknown": [unknown]})
    error = await admin.error("funcservices.remove_requests", 0, [*known, unknown])
    assert (error.name, error.data) == ("UnknownRemoveRequestError", {"unknown": [unknown]})
    assert await names(oms) == ["h1", "h2"]
    await admin.ask(SIGN, 0, ["h1", "h2"])
    error = await admin.error(REMOVE, 0, [*known, unknown])
    assert (error.name, error.data) == ("UnknownRemoveSignedError", {"unknown": [unknown]})
    assert await names(oms, "list_signed") == ["h1", "h2"]


async def test_all_unknown_names_are_in_the_message_as_comma_separated_text(oms: Oms) -> None:
    error = await (await oms.as_admin()).error(SIGN, 0, ["a", "b", "a"])
    assert error.message.endswith(": a, b")


async def test_a_name_given_twice_is_signed_and_removed_once(oms: Oms) -> None:
    await oms.enrol("h1")
    admin = await oms.as_admin()
    assert await admin.ask(SIGN, 0, ["h1", "h1"]) == []
    assert await names(oms, "list_signed") == ["h1"]
    assert await admin.ask(REMOVE, 0, ["h1", "h1"]) == {"failed_removals": []}


async def test_two_keys_that_want_one_name_are_both_refused_until_one_is_gone(oms: Oms) -> None:
    await oms.enrol("h1")
    rival = enrolment.make_key()
    await oms.enrol("h1", rival)
    await oms.enrol("h2")
    admin = await oms.as_admin()
    assert await names(oms) == ["h1", "h2"]
    error = await admin.error(SIGN, 0, ["h2", "h1"])
    assert (error.name, error.data) == ("FuncManError", {"reason": "request_refused", "host": "h1"})
    assert await names(oms, "list_signed") == []
    await admin.ask("funcservices.remove_requests", 0, ["h1"])
    assert await names(oms) == ["h2"]
    assert (await oms.enrol("h1", rival)).json["state"] == "waiting"
    await admin.ask(SIGN, 0, ["h1"])
    assert (await oms.enrol("h1", rival)).json["state"] == "signed"


async def test_only_the_key_that_was_compared_is_signed(oms: Oms) -> None:
    keys = [(await oms.enrol(name)).json["key_sha256"] for name in ("h1", "h2")]
    admin = await oms.as_admin()
    error = await admin.error("funcservices.sign_key", 0, "h2", keys[0])
    assert error.data == {"reason": "request_refused", "host": "h2"}
    assert keys[1] in error.message
    error = await admin.error("funcservices.sign_key", 0, "h3", keys[0])
    assert (error.name, error.data) == ("UnknownSignRequestsError", {"unknown": ["h3"]})
    assert await names(oms, "list_signed") == []
    assert await admin.ask("funcservices.sign_key", 0, "h1", keys[0].upper()) == {"type": "KVM"}
    assert await names(oms, "list_signed") == ["h1"]


async def test_a_signed_name_is_not_taken_over(oms: Oms) -> None:
    _, told = await signed(oms)
    assert (await oms.enrol("h1")).json["state"] == "waiting"
    error = await (await oms.as_admin()).error(SIGN, 0, ["h1"])
    assert error.data == {"reason": "request_refused", "host": "h1"}
    host = await oms.store.read(lambda tx: hosts.by_name(tx, "h1"))
    assert host is not None
    assert host.id == told["host_id"]


async def test_of_many_all_are_signed_or_none(oms: Oms) -> None:
    """The last request goes away while the first ones have their certificates already."""
    asking = [f"h{number}" for number in range(1, 10)]
    for name in asking:
        await oms.enrol(name)
    admin = await oms.as_admin()
    log = oms.folder / "signer" / "issued.jsonl"
    before = len(log.read_bytes().splitlines())
    signing_ = asyncio.create_task(admin.error(SIGN, 0, asking))
    while len(log.read_bytes().splitlines()) <= before:  # noqa: ASYNC110 - the gap is some milliseconds
        await asyncio.sleep(0)
    await oms.store.write(lambda tx: hosts.drop_requests(tx, asking[-1:]))
    error = await signing_
    assert error.name == "SSHKeyAddError"
    assert "nothing was signed" in error.message
    assert await names(oms, "list_signed") == []
    assert await names(oms) == asking[:-1]


async def test_a_signer_that_is_gone_signs_nothing_and_says_so(oms: Oms) -> None:
    await oms.enrol("h1")
    admin = await oms.as_admin()
    async with away(oms):
        error = await admin.error(SIGN, 0, ["h1"])
        assert error.name == "FuncManError"
        assert "Nothing was signed" in error.message
        assert await names(oms) == ["h1"]
        assert await names(oms, "list_signed") == []
    assert await admin.ask(SIGN, 0, ["h1"]) == []


@contextlib.asynccontextmanager
async def away(oms: Oms) -> AsyncIterator[None]:
    """The signer is not where the server asks, for so long."""
    path = oms.config.signer
    path.rename(path.with_suffix(".away"))
    yield
    path.with_suffix(".away").rename(path)


async def test_a_request_that_was_replaced_after_it_was_read_is_not_signed_in_its_place(oms: Oms) -> None:
    """The same key asks for another name after somebody looked: what was looked at is not there any more."""
    key = enrolment.make_key()
    await oms.enrol("h1", key)
    await oms.enrol("evil", key)
    assert await names(oms) == ["evil"]
    error = await (await oms.as_admin()).error(SIGN, 0, ["h1"])
    assert error.name == "UnknownSignRequestsError"


async def test_a_host_that_is_signed_while_it_asks_again_does_not_wait_any_more(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its CSR is another one each time, so it would be written down: between the look and that it is signed."""
    key = enrolment.make_key()
    await oms.enrol("h1", key)
    admin, read = await oms.as_admin(), oms.store.read

    async def sign_meanwhile(question: Any) -> Any:
        looked = await read(question)
        monkeypatch.undo()
        await admin.ask(SIGN, 0, ["h1"])
        return looked

    monkeypatch.setattr(oms.store, "read", sign_meanwhile)
    told = (await oms.enrol("h1", key)).json
    assert told["state"] == "signed"
    assert await names(oms) == []
    assert (await oms.enrol("h1", key)).json == told


async def test_a_host_that_is_removed_while_it_asks_again_is_told_so(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, read = enrolment.make_key(), oms.store.read

    async def come_and_go(question: Any) -> Any:
        looked = await read(question)
        monkeypatch.undo()
        await signed(oms, "h1", key)
        await (await oms.as_admin()).ask(REMOVE, 0, ["h1"])
        return looked

    monkeypatch.setattr(oms.store, "read", come_and_go)
    assert (await oms.enrol("h1", key)).json["state"] == "refused"
    assert await names(oms) == []


# --- renewing


async def test_a_host_renews_with_a_new_key_and_asked_again_gets_the_same(oms: Oms) -> None:
    old, told = await signed(oms)
    new = enrolment.make_key()
    replies = [await renew(oms, old, told["certificate"], new) for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    first = replies[0].json
    assert [reply.json for reply in replies] == [first] * 3
    assert (first["host_id"], first["state"]) == (told["host_id"], "signed")
    assert first["key_sha256"] == enrolment.key_sha256(new)
    issued = (oms.folder / "signer" / "issued.jsonl").read_bytes().splitlines()
    assert len([line for line in issued if b'"name":"h1"' in line]) == 2
    assert (await oms.enrol("h1", new)).json["certificate"] == first["certificate"]


async def test_the_certificate_before_the_last_renews_nothing(oms: Oms) -> None:
    first, told = await signed(oms)
    second = enrolment.make_key()
    renewed = (await renew(oms, first, told["certificate"], second)).json
    stale = await renew(oms, first, told["certificate"], enrolment.make_key())
    assert stale.status == 403
    assert "no longer one of ours" in stale.json["error"]
    assert (await renew(oms, second, renewed["certificate"], enrolment.make_key())).status == 200


async def test_a_removed_host_renews_nothing_and_its_key_never_comes_back(oms: Oms) -> None:
    key, told = await signed(oms)
    await (await oms.as_admin()).ask(REMOVE, 0, ["h1"])
    assert (await renew(oms, key, told["certificate"], enrolment.make_key())).status == 403
    reply = await oms.enrol("h1", key)
    assert reply.json["state"] == "refused"
    assert "new key" in reply.json["reason"]
    assert await names(oms) == []
    again = enrolment.make_key()
    assert (await oms.enrol("h1", again)).json["state"] == "waiting"
    _, anew = await signed(oms, "h1", again)
    assert anew["host_id"] != told["host_id"]


# --- removing


async def test_a_removed_host_is_cut_off_before_the_answer_and_all_of_it_is_gone(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", {ListVmsStatus: answering({})})
    admin = await oms.as_admin()
    await admin.ask("kvmservices.list_vms_status", 60, "h1")
    assert await admin.ask(REMOVE, 0, ["h1"]) == {"failed_removals": []}
    assert not host.wire.connected
    assert host.id not in oms.bus.server.connected_hosts()
    error = await admin.error("kvmservices.list_vms_status", 60, "h1")  # what was recorded is gone as well
    assert error.data["reason"] == "host_unavailable"
    assert await names(oms, "list_signed") == []
    assert (await admin.error("funcservices.describe_host", 0, "h1")).name == "FuncManError"
    tags = await oms.store.read(lambda tx: tx.execute(sa.select(tables.tags)).all())
    assert tags == []


async def test_a_host_of_the_same_name_inherits_nothing(oms: Oms) -> None:
    await oms.sign_in_double("h1", {ListVmsStatus: answering({})})
    admin = await oms.as_admin()
    await admin.ask("kvmservices.list_vms_status", 600, "h1")
    await admin.ask(REMOVE, 0, ["h1"])
    other = await oms.sign_in_double("h1", {ListVmsStatus: answering({})})
    assert (await admin.answer("kvmservices.list_vms_status", 600, "h1"))["type"] == "func"
    assert other.asked["kvmservices.list_vms_status"] == 1


async def test_a_host_whose_connection_may_still_live_is_named_and_is_removed_all_the_same(oms: Oms) -> None:
    await oms.sign_in_double("h1")
    await oms.sign_in_double("h2")
    oms.bus.down()
    admin = await oms.as_admin()
    assert await admin.ask(REMOVE, 0, ["h1", "h2"]) == {"failed_removals": ["h1", "h2"]}
    assert await names(oms, "list_signed") == []


async def test_every_removed_host_is_cut_off_though_the_rest_of_the_work_breaks(oms: Oms) -> None:
    doubles = [await oms.sign_in_double(name, {StopVm: answering(0)}) for name in ("h1", "h2")]
    doubles[0].queue_open.clear()
    waiting = asyncio.create_task((await oms.as_operator()).error("kvmservices.stop_vm", 0, "h1", "vm1"))
    await eventually(lambda: doubles[0].journal)
    admin = await oms.as_admin()
    await oms.store.write(
        lambda tx: tx.execute(
            sa.text("CREATE TRIGGER broken BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'no'); END")
        )
    )
    error = await admin.error(REMOVE, 0, ["h1", "h2"])
    assert error.name == "DatabaseUpdateError"
    assert oms.bus.server.connected_hosts() == frozenset()
    assert await names(oms, "list_signed") == []
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


# --- telling


async def test_signed_hosts_are_found_by_tag(oms: Oms) -> None:
    await signed(oms, "h1")
    await signed(oms, "h2")
    viewer = await oms.as_viewer()

    async def tagged(tag: str) -> list[str]:
        return [host["name"] for host in await viewer.ask("funcservices.list_signed", 0, tag)]

    assert await tagged("KVM") == ["h1", "h2"]
    assert await tagged("x86_64") == ["h1", "h2"]
    assert await tagged("kv") == []
    assert await tagged("KV_") == []  # no pattern


async def test_signing_goes_on_after_the_signer_was_restarted(oms: Oms) -> None:
    await oms.enrol("h1")
    await oms.stop_signer()
    async with signing(oms.folder / "signer", oms.config.signer):
        assert await (await oms.as_admin()).ask(SIGN, 0, ["h1"]) == []
