"""Who asked what: one line a call, written before the answer, with no secret and no line that a caller forged."""

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms.contract.errors import FuncManError
from oms.contract.kvm import StopVm, UpdateVmSettings
from oms.server import audit
from oms.server.audit import Audit, Line
from oms.server.sessions import digest
from oms.server.store import jobs
from tests.server.rig import PASSWORD, Oms, Seed, answering
from tests.waiting import eventually

SECRET = "marker-7c1e-secret"


def lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def line(method: str = "m", **more: Any) -> Line:
    return Line("2026-01-01T00:00:00.000Z", "192.0.2.1", method, **more)


async def test_a_call_is_one_line_that_says_who_from_where_what_with_what_and_how_it_ended(oms: Oms) -> None:
    await oms.sign_in_host("h1", {StopVm: answering(0)})
    operator = await oms.as_operator()
    before = len(oms.audited())
    await operator.ask("kvmservices.stop_vm", 0, "h1", "vm1", address="192.0.2.99")
    [written] = oms.audited()[before:]
    job = written.pop("job")
    assert len(job) == 32
    assert written.pop("milliseconds") > 0
    assert written.pop("time").endswith("Z")
    assert written == {
        "address": "192.0.2.99",
        "method": "kvmservices.stop_vm",
        "user": "operator",
        "session": digest(operator.sessid)[:8],
        "host": "h1",
        "params": {"kvm_vm_name": "vm1"},
    }


@pytest.mark.parametrize(
    ("method", "params", "outcome"),
    [
        ("authservices.authenticate", ["admin", "wrong"], "AuthError"),
        ("authservices.checksessid", ["A" * 40], "AuthError"),
        ("funcservices.list_signed", [None, 0], "AuthError"),
        ("funcservices.list_signed", "no list", "AuthError"),
        ("nosuchservices.x", [], "ServiceNotFound"),
        ("funcservices.nosuch", [], "MethodNotFound"),
    ],
)
async def test_a_refused_call_is_a_line_too(oms: Oms, method: str, params: Any, outcome: str) -> None:
    for by in ("GET", "POST"):
        await oms.reply(method, params, by=by)
    assert [(written["method"], written["outcome"]) for written in oms.audited()] == [(method, outcome)] * 2


async def test_every_call_of_a_batch_is_a_line(oms: Oms) -> None:
    call = {"jsonrpc": "2.0", "method": "authservices.checksessid", "params": ["x"], "id": 1}
    silent = {key: value for key, value in call.items() if key != "id"}
    await oms.request("POST", "/", body=msgspec.json.encode([call, silent, call]))
    assert [written["outcome"] for written in oms.audited()] == ["AuthError"] * 3


async def test_the_line_is_there_before_the_answer_is(oms: Oms) -> None:
    viewer = await oms.as_viewer()
    seen: list[int] = []

    async def take(message: Any) -> None:
        seen.append(len(oms.audited()))

    body = msgspec.json.encode(
        {"service": "authservices", "method": "checksessid", "id": 1, "params": [viewer.sessid]}
    )
    await oms.edge(
        {
            "type": "http",
            "method": "POST",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "client": ("192.0.2.1", 1),
        },
        lambda: asyncio.sleep(0, {"type": "http.request", "body": body}),
        take,
    )
    assert seen == [1, 1]


async def test_no_password_and_no_session_id_is_in_any_line_or_log(
    oms: Oms, capsys: pytest.CaptureFixture[str]
) -> None:
    await oms.sign_in_host("h1", {UpdateVmSettings: answering({"password": "It is too short."})})
    sessid = await oms.login("admin")
    await oms.reply("authservices.authenticate", ["admin", SECRET])
    await oms.reply("authservices.authenticate", ["admin", SECRET], by="GET")
    await oms.reply("authservices.authenticate", ["admin", [SECRET]])
    await oms.reply("authservices.authenticate", {"username": "admin", "password": SECRET, "x": SECRET})
    settings = {"password": SECRET, "passwd": SECRET, "Password": SECRET, "ROOT_PASSWORD": SECRET, "vcpu": 2}
    for vm in ("vm1", 7):
        await oms.reply("kvmservices.update_vm_settings", [sessid, 0, "h1", vm, settings])
    await oms.reply("kvmservices.update_vm_settings", [sessid, 0, "h1", "vm1", {"password": [SECRET]}])
    await oms.call("authservices.deauthenticate", sessid)
    everything = (oms.config.home / "audit.log").read_text() + "".join(capsys.readouterr())
    assert "update_vm_settings" in everything
    for secret in (SECRET, PASSWORD, sessid):
        assert secret not in everything


@pytest.mark.parametrize("by", ["GET", "POST"])
@pytest.mark.parametrize(
    "name", ["a\n2026-01-01 login ok admin", "\x1b[2J\x07", 'x","outcome":"ok', "\u2028\u202e"]
)
async def test_nobody_writes_a_line_of_his_own(oms: Oms, name: str, by: str) -> None:
    await oms.reply("authservices.authenticate", [name, "x"], by=by)  # type: ignore[arg-type]
    raw = (oms.config.home / "audit.log").read_bytes()
    assert raw.count(b"\n") == 1
    assert not any(byte < 0x20 for byte in raw[:-1])
    [written] = oms.audited()
    assert (written["params"]["username"], written["outcome"]) == (name, "AuthError")


async def test_long_words_are_cut(oms: Oms) -> None:
    await oms.sign_in_host("h1")
    admin = await oms.as_admin()
    before = len(oms.audited())
    await oms.reply("authservices.authenticate", ["n" * 1024, "x"])
    await oms.reply("s" * 100_000 + ".x", [])
    await admin.error("funcservices.sign_requests", 0, ["n" * 255] * 1000)
    await admin.error("kvmservices.update_vm_settings", 0, "h1", "vm1", {"a": "v" * 4_000})
    written = oms.audited()[before:]
    assert len(written) == 4
    assert len(written[1]["method"]) <= 256
    assert len(written[3]["params"]["kvm_vm_settings_dictionary"]["a"]) == audit.LONGEST_TEXT + 1
    for each in (oms.config.home / "audit.log").read_bytes().splitlines()[before:]:
        assert len(each) < 64 * 300


async def test_a_call_that_ends_with_the_server_says_so(oms: Oms) -> None:
    gate = asyncio.Event()

    async def never(_op: object) -> int:
        await gate.wait()
        return 0

    await oms.sign_in_host("h1", {StopVm: never})
    asking = asyncio.create_task((await oms.as_operator()).ask("kvmservices.stop_vm", 0, "h1", "vm1"))
    await eventually(oms.changes_sent)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert oms.audited()[-1]["outcome"] == "broken off"


async def test_what_cannot_be_written_down_is_not_answered_and_never_called_undone(
    seed: Seed, folder: Path
) -> None:
    async with Oms(seed, folder) as oms:
        operator = await oms.as_operator()
        await oms.sign_in_host("h1", {StopVm: answering(0)})
        await oms.stop()
        (oms.config.home / "audit.log").unlink()
        (oms.config.home / "audit.log").symlink_to("/dev/full")
        await oms.start()
        error = await operator.error("funcservices.list_signed", 0)
        assert (error.name, error.data) == ("FuncManError", {"cause": "audit"})
        assert "Nothing was changed" in error.message
        error = await operator.error("kvmservices.stop_vm", 0, "h2", "vm1")  # there is no such host
        assert (error.name, error.data) == ("FuncManError", {"cause": "audit"})
        error = await operator.error("kvmservices.stop_vm", 0, "h1", "vm1")
        assert error.name == "FuncMethodTimeoutError"
        assert "may have been done" in error.message
        (job,) = await oms.store.read(lambda tx: jobs.newest(tx, "", "", 9))
        assert (error.data, job.state) == ({"cause": "audit", "job": job.id}, "done")


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    Audit(tmp_path / "audit.log").close()
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600


def test_the_file_is_added_to_after_a_restart(tmp_path: Path) -> None:
    for number in range(3):
        kept = Audit(tmp_path / "audit.log")
        kept.write(line(f"m{number}"))
        kept.close()
    assert [written["method"] for written in lines(tmp_path / "audit.log")] == ["m0", "m1", "m2"]


def test_a_full_file_is_turned_over_and_so_many_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST_FILE_BYTES", 500)
    kept = Audit(tmp_path / "audit.log")
    for number in range(100):
        kept.write(line(f"m{number:02}"))
    kept.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3", "audit.log.4"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 700
    newest_last = [*reversed(files[1:]), files[0]]
    methods = [written["method"] for name in newest_last for written in lines(tmp_path / name)]
    assert methods == [f"m{number:02}" for number in range(100 - len(methods), 100)]


def test_a_line_that_was_torn_by_a_full_disk_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Audit(tmp_path / "audit.log")
    write = os.write
    monkeypatch.setattr("oms.server.audit.os.write", lambda file, text: write(file, text[:10]))
    with pytest.raises(FuncManError):
        kept.write(line("torn"))
    monkeypatch.undo()
    kept.write(line("whole"))
    kept.close()
    torn, whole = (tmp_path / "audit.log").read_bytes().splitlines()
    assert len(torn) == 10
    assert msgspec.json.decode(whole)["method"] == "whole"


def test_a_file_that_cannot_be_turned_over_is_written_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST_FILE_BYTES", 100)
    (tmp_path / "audit.log.3").touch()
    (tmp_path / "audit.log.4").mkdir()
    kept = Audit(tmp_path / "audit.log")
    for number in range(10):
        kept.write(line(f"m{number}"))
    kept.close()
    methods = [written["method"] for written in lines(tmp_path / "audit.log")]
    assert methods == [f"m{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 3000, "x" * audit.LONGEST_TEXT + "…"),
        ({"passwd": "a", "ADMIN_PASSWORD": "b", "x": "c"}, {"passwd": "•••", "ADMIN_PASSWORD": "•••", "x": "c"}),
        (["a"] * 100, ["a"] * 64),
        ([{"password": "a"}], [{"password": "•••"}]),
        ({"user_data": "#cloud-config"}, {"user_data": "•••"}),
        (7, 7),
    ],
)
def test_what_is_shown_of_a_parameter(value: Any, shown: Any) -> None:
    class Op:
        field = value

    assert audit.printable(("field",), Op) == {"field": shown}
