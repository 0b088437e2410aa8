"""`GET /metrics` as Prometheus asks for it: who may, what it says, and what hosts cannot do to it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from oms.contract import kvm
from oms.contract.internal import Figures, FileSystemFigures, GuestFigures
from oms.server import admin
from oms.server.metrics import figures as last_words
from tests.server.asgi import Reply
from tests.server.rig import Oms, answering
from tests.waiting import eventually

FIGURES = Figures(
    cpus=4,
    cpu_seconds={"user": 10.5, "idle": 100.0},
    load=0.25,
    uptime_seconds=1000.0,
    memory_kb=1024,
    memory_available_kb=512,
    device="vmbr0",
    received_bytes=7,
    sent_bytes=9,
    bytes_per_second=125_000_000,
    file_systems=(FileSystemFigures("/", "/dev/sda1", 100, 40, 50),),
    guests={"kvm": GuestFigures(5, 2)},
)


async def scraped(oms: Oms, token: str | None = None) -> dict[tuple[str, tuple[str, ...]], float]:
    """Each sample by its name and the values of its labels, in the order of their names."""
    reply = await asked(oms, f"Bearer {token or admin.metrics_token(oms.store)}")
    assert reply.status == 200, reply
    assert reply.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for sample in samples(reply):
        key = sample.name, tuple(value for _, value in sorted(sample.labels.items()))
        assert key not in found, "Prometheus would refuse all of it"
        found[key] = sample.value
    return found


def samples(reply: Reply) -> Iterator[Sample]:
    for family in text_string_to_metric_families(reply.body.decode()):
        yield from family.samples


async def asked(oms: Oms, authorization: str = "", verb: str = "GET") -> Reply:
    return await oms.request(verb, "/metrics", headers={"Authorization": authorization} if authorization else {})


async def say(host: Any, told: Figures | bytes) -> None:
    await host.wire.publish("figures", told if isinstance(told, bytes) else msgspec.json.encode(told))


async def test_without_the_token_nothing_is_said(oms: Oms) -> None:
    person = await oms.as_admin()
    token = admin.metrics_token(oms.store)
    for authorization in (
        "", "Bearer", f"Basic {token}", f"Bearer {person.sessid}", f"Bearer {token[:-1]}x", "Bearer " + "A" * 43,
    ):  # fmt: skip
        reply = await asked(oms, authorization)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="metrics"')
        assert b"oms_" not in reply.body
    assert (await oms.request("GET", f"/metrics?token={token}")).status == 401
    assert (await asked(oms, f"Bearer {token}", "POST")).status == 405
    assert (await scraped(oms, token))["oms_metrics_refused_total", ()] == 7


async def test_a_token_is_kept_as_its_digest_and_voids_the_one_before(oms: Oms) -> None:
    first, second = admin.metrics_token(oms.store), admin.metrics_token(oms.store)
    assert (await asked(oms, f"Bearer {first}")).status == 401
    assert (await asked(oms, f"Bearer {second}")).status == 200
    database = b"".join(path.read_bytes() for path in oms.config.home.glob("oms.db*"))
    assert second.encode() not in database
    assert admin.end_metrics_token(oms.store)
    assert not admin.end_metrics_token(oms.store)
    assert (await asked(oms, f"Bearer {second}")).status == 401
    assert (await asked(oms, "Bearer ")).status == 401


async def test_hosts_figures_are_told_in_base_units_and_no_host_is_asked(oms: Oms) -> None:
    host = await oms.sign_in_double("h1")
    await oms.signed("h2")
    await eventually(lambda: host.greetings)
    await say(host, FIGURES)
    before = len(oms.sent)
    found = await scraped(oms)
    assert len(oms.sent) == before
    assert found["oms_host_up", ("h1",)] == 1
    assert found["oms_host_up", ("h2",)] == 0
    assert found["oms_hosts", ("away",)] == found["oms_hosts", ("connected",)] == 1
    assert found["oms_host_memory_size_bytes", ("h1",)] == 1024 * 1024
    assert found["oms_host_cpu_seconds_total", ("h1", "user")] == 10.5
    assert found["oms_host_network_receive_bytes_total", ("vmbr0", "h1")] == 7
    assert found["oms_host_filesystem_avail_bytes", ("/dev/sda1", "h1", "/")] == 50 * 1024
    assert found["oms_host_guests", ("h1", "kvm", "running")] == 2
    assert found["oms_host_guests", ("h1", "kvm", "not_running")] == 3
    assert found["oms_bus_connected", ()] == found["oms_build_info", (found_version(found),)] == 1
    assert found["oms_bus_events_total", ("figures",)] == 1
    assert ("oms_host_cpus", ("h2",)) not in found


def found_version(found: dict[tuple[str, tuple[str, ...]], float]) -> str:
    return next(labels[0] for name, labels in found if name == "oms_build_info")


async def test_figures_end_with_the_hosts_connection_and_with_their_age(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await oms.sign_in_double("h1")
    await say(host, FIGURES)
    assert ("oms_host_cpus", ("h1",)) in await scraped(oms)
    monkeypatch.setattr(last_words, "FRESH_SECONDS", -1.0)
    assert ("oms_host_cpus", ("h1",)) not in await scraped(oms)
    monkeypatch.undo()
    oms.bus.disconnect(host.id)
    found = await scraped(oms)
    assert ("oms_host_cpus", ("h1",)) not in found
    assert found["oms_host_up", ("h1",)] == 0


async def test_a_host_cannot_spoil_what_is_told_of_others(oms: Oms) -> None:
    """Names that break out of their quotes, one file system twice, and what is no figures at all."""
    good, bad = await oms.sign_in_double("good"), await oms.sign_in_double("bad")
    await say(good, FIGURES)
    wild = FileSystemFigures('/"} 1\noms_host_up{host="good', "a\\", 1, 1, 1)
    twice = msgspec.structs.replace(FIGURES, device='x"y', file_systems=(wild, wild))
    await say(bad, twice)
    found = await scraped(oms)
    assert found["oms_host_up", ("good",)] == 1
    assert found["oms_host_filesystem_size_bytes", ("a\\", "bad", wild.mount)] == 1024
    for nonsense in (
        b"", b"[]", b'{"cpus":1%s}' % (b"0" * 400), b'{"load":1e999}', b'{"cpus":-1}',
        b'{"cpus":"4"}', b'{"cpu_seconds":{"made up":1}}', b'{"guests":{"x":{"total":1,"running":1}}}',
        b'{"device":"%s"}' % (b"d" * 300), b'{"cpus":1%s}' % (b" " * 70_000), b"\xff",
    ):  # fmt: skip
        await say(bad, nonsense)
    await bad.wire.publish("made_up.topic", b"x")
    after = await scraped(oms)
    assert after["oms_host_cpus", ("bad",)] == 4
    assert after["oms_bus_events_total", ("other",)] == 1


async def test_calls_and_jobs_are_counted_by_how_they_ended(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", {kvm.StartVm: answering(0)})
    await eventually(lambda: host.greetings)
    person = await oms.as_operator()
    await person.ask("kvmservices.start_vm", 0, "h1", "openfiler")
    await person.error("kvmservices.start_vm", 0, "h1", "../x")
    await person.error("funcservices.remove_signed", 0, ["h1"])
    for made_up in ("nonsense", "x" * 200):
        await person.error(f"kvmservices.{made_up}", 0, "h1")
    found = await scraped(oms)
    assert found["oms_calls_total", ("kvmservices.start_vm", "ok")] == 1
    assert found["oms_calls_total", ("kvmservices.start_vm", "ParameterMismatch")] == 1
    assert found["oms_calls_total", ("funcservices.remove_signed", "AuthError")] == 1
    assert found["oms_calls_total", ("unknown", "MethodNotFound")] == 2
    assert found["oms_call_duration_seconds_count", ("kvmservices.start_vm",)] == 2
    assert found["oms_jobs_ended_total", ("kvmservices.start_vm", "done")] == 1
    assert found["oms_jobs", ("running",)] == found["oms_jobs", ("queued",)] == 0
    assert found["process_resident_memory_bytes", ()] > 0


async def test_many_who_ask_at_once_are_told_the_same(oms: Oms) -> None:
    token = admin.metrics_token(oms.store)
    replies = await asyncio.gather(*(asked(oms, f"Bearer {token}") for _ in range(10)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) < 10
