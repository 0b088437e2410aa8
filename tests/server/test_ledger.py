"""The audit log that lasts: what is in it, that it is there before the answer, that nobody changes it unseen."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from oms.contract.errors import DatabaseInsertError, NoSuchMachine
from oms.contract.kvm import StartVm, StopVm
from oms.contract.ovz import StopVm as StopContainer
from oms.server.jobs import Jobs
from oms.server.ledger import BURST
from oms.server.rules.chain import NOTHING_BEFORE, Mark, Verdict, seal
from oms.server.same_commit import Row
from oms.server.store import Store, audit, jobs, tables
from oms.server.store.audit import Entry, Wanted
from tests.cli.command import oms as oms_command
from tests.server.rig import PASSWORD, Oms, Person, Seed, answering

NEW = "seven purple whales at noon"
SECRET = "marker 7c1e of some words"


@pytest.fixture
async def oms(seed: Seed, folder: Path) -> AsyncIterator[Oms]:
    """A server whose audit log begins here: that its users were made stands in it else."""
    async with Oms(seed, folder) as running:
        await running.store.write(_emptied)
        yield running


def _emptied(tx: Connection) -> None:
    tx.execute(sa.delete(tables.audit))
    tx.execute(sa.update(tables.audit_marks).values(seq=0, sha256=NOTHING_BEFORE))


async def events(oms: Oms, *params: Any) -> list[dict[str, Any]]:
    page = await (await oms.as_admin()).ask("auditservices.list_events", 0, *params)
    found: list[dict[str, Any]] = page["events"]
    return found


async def verdict(oms: Oms, remembered: Mark | None = None) -> Verdict:
    return await oms.store.read(lambda tx: audit.verify(tx, remembered))


async def rows(oms: Oms, count: int) -> None:
    """So many rows more, by the clock of a day each."""
    for number in range(count):
        entry = Entry(
            f"2026-01-{number + 1:02}T12:00:00.000Z", "kvmservices.start_vm", user="anna", target=f"v{number}"
        )
        await oms.store.write(lambda tx, entry=entry: audit.append(tx, entry))  # type: ignore[misc]


# --- what is in it


async def test_a_changing_call_is_a_row_that_says_who_from_where_what_on_what_and_how_it_ended(oms: Oms) -> None:
    await oms.sign_in_host("h1", {StopVm: answering(0)})
    operator = await oms.as_operator()
    await operator.ask("kvmservices.stop_vm", 0, "h1", "vm1", address="192.0.2.99")
    (row, *_) = await events(oms)
    (job,) = await oms.store.read(lambda tx: jobs.newest(tx, "", "", 1))
    assert (row["user"], row["address"], row["method"]) == ("operator", "192.0.2.99", "kvmservices.stop_vm")
    assert (row["host"], row["target"], row["outcome"], row["job"]) == ("h1", "vm1", "ok", job.id)
    assert (row["params"], row["reason"]) == ({"kvm_vm_name": "vm1"}, "")
    assert row["time"].endswith("Z")
    assert len(row["session"]) == 8


async def test_a_row_tells_its_guest_by_the_name_that_the_job_knows_and_is_sealed_without_it(oms: Oms) -> None:
    await oms.sign_in_host("h1", {StopVm: answering(0)})
    await (await oms.as_operator()).ask("kvmservices.stop_vm", 0, "h1", "vm1")
    assert [row["name"] for row in await events(oms)] == [""] * len(await events(oms))
    await oms.store.write(lambda tx: tx.execute(sa.update(tables.jobs).values(name="web1")))
    named = {row["method"]: (row["target"], row["name"]) for row in await events(oms)}
    assert named["kvmservices.stop_vm"] == ("vm1", "web1")
    assert {name for method, (_, name) in named.items() if method != "kvmservices.stop_vm"} <= {""}
    assert (await verdict(oms)).broken == 0


async def test_a_container_is_one_target_be_its_id_a_number_or_digits(oms: Oms) -> None:
    await oms.sign_in_host("h1", {StopContainer: answering(0)})
    operator = await oms.as_operator()
    for ctid in (129, "129"):
        await operator.ask("ovzservices.stop_vm", 0, "h1", ctid)
    assert [row["target"] for row in await events(oms) if row["method"] == "ovzservices.stop_vm"] == ["129", "129"]


async def test_reads_are_no_rows_but_what_a_role_refused_is(oms: Oms) -> None:
    viewer = await oms.as_viewer()
    await viewer.ask("funcservices.list_signed", 0)
    await viewer.error("userservices.list_users", 0)
    await viewer.error("kvmservices.stop_vm", 0, "h1", "vm1")
    await viewer.error("funcservices.list_signed", -1)
    found = [(row["method"], row["outcome"], row["user"]) for row in await events(oms)]
    assert found == [
        ("kvmservices.stop_vm", "AuthError", "viewer"),
        ("userservices.list_users", "AuthError", "viewer"),
    ]


async def test_logins_are_rows_right_and_wrong_and_their_passwords_are_not(oms: Oms, folder: Path) -> None:
    await oms.login("Admin ", address="192.0.2.99")
    await oms.reply("authservices.authenticate", ["adm\x1b\0in", SECRET])
    await (await oms.as_admin()).ask("userservices.add_user", 0, "anna", SECRET)
    anna = Person(oms, await oms.login("anna", SECRET))
    await anna.ask("userservices.change_password", 0, SECRET, SECRET + NEW)
    token = await anna.ask("userservices.create_token", 0, "x", "viewer")
    found = [
        (row["method"].partition(".")[2], row["user"], row["target"], row["outcome"]) for row in await events(oms)
    ]
    assert found == [
        ("create_token", "anna", "", "ok"),
        ("change_password", "anna", "", "ok"),
        ("authenticate", "anna", "anna", "ok"),
        ("add_user", "admin", "anna", "ok"),
        ("authenticate", "", "adm\x1b\\0in", "AuthError"),
        ("authenticate", "admin", "Admin ", "ok"),
    ]
    kept = b"".join(path.read_bytes() for path in oms.config.home.glob("oms.db*"))
    for secret in (SECRET, PASSWORD, token["token"], anna.sessid):
        assert secret.encode() not in kept


async def test_a_flood_of_wrong_logins_fills_the_file_and_not_the_table(oms: Oms) -> None:
    ledger = oms.edge._pipeline._ledger
    from oms.contract import auth

    wrong = {"outcome": "AuthError"}
    wanted = [ledger.wants(auth.Authenticate, wrong) for _ in range(BURST + 100)]
    assert BURST <= sum(wanted) <= BURST + 5
    assert ledger.wants(auth.Authenticate, {})  # a right one is always there


async def test_the_row_is_on_the_disk_before_the_answer_is_given(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    append = audit.append

    def slow(tx: Connection, entry: Entry) -> None:
        time.sleep(0.2)
        append(tx, entry)
        order.append("row")

    monkeypatch.setattr("oms.server.ledger.audit.append", slow)
    await (await oms.as_admin()).ask("userservices.add_user", 0, "anna", NEW)
    order.append("answer")
    assert order == ["row", "answer"]


async def test_a_change_that_cannot_be_written_down_is_answered_as_not_known(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_tx: Connection, _entry: Entry) -> None:
        raise DatabaseInsertError("It is full.")

    admin = await oms.as_admin()
    monkeypatch.setattr("oms.server.ledger.audit.append", full)
    error = await admin.error("userservices.add_user", 0, "anna", NEW)
    assert (error.name, error.data) == ("FuncMethodTimeoutError", {"cause": "audit"})
    assert "may have been done" in error.message
    error = await admin.error("userservices.delete_user", 0, "nobody")
    assert (error.name, error.data["reason"]) == ("FuncManError", "no_such_user")
    assert oms.audited()[-1]["outcome"] == "FuncManError"


async def test_the_row_of_a_change_on_a_host_is_in_the_commit_in_which_its_job_ends(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_more(*_: object) -> None:
        raise AssertionError("a commit of its own")

    refused = NoSuchMachine("There is no machine vm2.")

    async def refusing(_op: object) -> int:
        raise refused

    await oms.sign_in_host("h1", {StopVm: answering(0), StartVm: refusing})
    operator = await oms.as_operator()
    monkeypatch.setattr("oms.server.ledger.Ledger.write", no_more)
    await operator.ask("kvmservices.stop_vm", 0, "h1", "vm1")
    await operator.error("kvmservices.start_vm", 0, "h1", "vm2")
    monkeypatch.undo()
    found = [(row["target"], row["outcome"], row["reason"]) for row in await events(oms, 0, 10, "operator")]
    assert found == [("vm2", refused.wire_name, refused.message), ("vm1", "ok", "")]


async def test_a_row_that_is_refused_does_not_keep_its_job_from_ending(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, refusals = audit.append, [sa.exc.IntegrityError("INSERT", {}, Exception("no"))]

    def once(tx: Connection, entry: Entry) -> None:
        append(tx, entry)
        if refusals:
            raise refusals.pop()

    await oms.sign_in_host("h1", {StopVm: answering(0)})
    operator = await oms.as_operator()
    monkeypatch.setattr("oms.server.ledger.audit.append", once)
    await operator.ask("kvmservices.stop_vm", 0, "h1", "vm1")
    assert not refusals
    assert [row["outcome"] for row in await events(oms, 0, 10, "operator")] == ["ok"]
    assert not (await verdict(oms)).broken


async def test_a_call_that_does_not_wait_for_its_jobs_end_has_one_row_and_that_says_so(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Jobs._outcome
    monkeypatch.setattr(Jobs, "_outcome", lambda self, job, _wait: outcome(self, job, 0.05))
    host = await oms.sign_in_double("h1", {StopVm: answering(0)})
    host.queue_open.clear()
    await (await oms.as_operator()).error("kvmservices.stop_vm", 0, "h1", "vm1")
    host.queue_open.set()
    admin = await oms.as_admin()
    (job,) = await oms.store.read(lambda tx: jobs.newest(tx, "", "", 1))
    await admin.ask("taskservices.wait_task", 0, job.id, 5)
    outcomes = [row["outcome"] for row in await events(oms, 0, 10, "operator")]
    assert outcomes == ["FuncMethodTimeoutError"]


async def test_what_a_killed_server_did_not_come_to_write_is_written_at_the_next_start(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    await oms.sign_in_host("h1", {StopVm: answering(0)})
    operator = await oms.as_operator()

    # A process that is gone writes nothing.
    monkeypatch.setattr("oms.server.ledger.Ledger.with_end", lambda *_: Row(lambda *_: None))
    await operator.ask("kvmservices.stop_vm", 0, "h1", "vm1")
    monkeypatch.undo()
    await operator.ask("kvmservices.stop_vm", 0, "h1", "vm2")
    for _ in range(2):
        await oms.restart()
        found = [(row["target"], row["outcome"]) for row in await events(oms, 0, 10, "operator")]
        assert found == [("vm1", "broken off"), ("vm2", "ok")]
    (row, _) = await events(oms, 0, 10, "operator")
    assert (row["method"], row["host"], len(row["job"])) == ("kvmservices.stop_vm", "h1", 32)
    assert "the job says how it ended" in row["reason"]


def test_what_is_done_at_the_machine_stands_there_too(seed: Seed) -> None:
    store = Store(f"sqlite:///{seed.folder / 'server' / 'oms.db'}")
    made = store.transaction(lambda tx: audit.newest(tx, Wanted(user="(console)"), 0, 10))
    store.close()
    assert [(sealed.row.method, sealed.row.target, sealed.row.params) for sealed in reversed(made)] == [
        ("userservices.add_user", name, f'{{"role":"{name}"}}') for name in ("admin", "operator", "viewer")
    ]


# --- asking


async def test_rows_are_asked_for_by_page_and_by_what_they_say(oms: Oms) -> None:
    await rows(oms, 7)
    admin = await oms.as_admin()
    seen, before = [], 0
    while True:
        page = await admin.ask("auditservices.list_events", 0, before, 3)
        seen += [event["target"] for event in page["events"]]
        if not (before := page["before"]):
            break
    assert seen == [f"v{number}" for number in reversed(range(7))]
    for asked, targets in (
        ({"since": "2026-01-06T00:00:00Z"}, ["v6", "v5"]),
        ({"until": "2026-01-02T12:00:00.000Z"}, ["v0"]),
        ({"user_name": "ANNA", "most": 1}, ["v6"]),
        ({"user_name": "bert"}, []),
        ({"method": "kvmservices.stop_vm"}, []),
        ({"outcome": "AuthError"}, []),
        ({"host": "h9"}, []),
        ({"job": "0" * 32}, []),
    ):
        answer = await oms.reply(
            "auditservices.list_events", {"SESSID": admin.sessid, "cache_timeout": 0, **asked}
        )
        events_ = answer.json["result"]["result"]["events"]
        assert [event["target"] for event in events_] == targets, asked
    assert (await (await oms.as_operator()).error("auditservices.list_events", 0)).name == "AuthError"


# --- the chain


async def test_each_row_holds_the_seal_of_the_one_before_it_and_its_own(oms: Oms) -> None:
    await rows(oms, 3)
    newest = await oms.store.read(lambda tx: audit.newest(tx, Wanted(), 0, 10))
    last = NOTHING_BEFORE
    for number, sealed in enumerate(reversed(newest), 1):
        assert (sealed.row.seq, sealed.previous) == (number, last)
        assert sealed.sha256 == seal(last, sealed.row)
        last = sealed.sha256
    head = await (await oms.as_admin()).ask("auditservices.describe_head", 0)
    assert head == {"number": 3, "sha256": last, "pruned": 0}
    assert await verdict(oms) == Verdict(3, Mark(3, last))


async def test_rows_that_are_written_at_once_are_one_chain(oms: Oms) -> None:
    """Together in one commit, some of them undone, and beside another process."""

    def regretted(tx: Connection) -> None:
        audit.append(tx, Entry("2026", "m"))
        raise KeyError("a bug")

    other = Store(oms.config.database_url)
    entry = Entry("2026", "m")
    writes: list[Callable[[Connection], None]] = [lambda tx: audit.append(tx, entry), regretted] * 20
    outcomes = await asyncio.gather(
        *(store.write(write) for store in (oms.store, other) for write in writes), return_exceptions=True
    )
    other.close()
    assert [type(outcome) for outcome in outcomes].count(KeyError) == 40
    assert (await verdict(oms)).rows == 40
    assert (await verdict(oms)).broken == 0


def _changed(column: str, value: Any) -> sa.Update:
    return sa.update(tables.audit).where(tables.audit.c.seq == 3).values({column: value})


_GONE = sa.delete(tables.audit)
_THIRD, _LAST = tables.audit.c.seq == 3, tables.audit.c.seq == 6
TAMPERED: dict[str, tuple[list[Any], int, str]] = {
    **{
        f"{column} changed": ([_changed(column, "x")], 3, "it was changed")
        for column in (
            "time",
            "user",
            "session",
            "address",
            "method",
            "host",
            "target",
            "outcome",
            "reason",
            "job",
        )
    },
    "params changed": ([_changed("params", "[]")], 3, "it was changed"),
    "seal changed": ([_changed("sha256", "0" * 64)], 3, "it was changed"),
    "seal before changed": ([_changed("previous", "0" * 64)], 3, "it does not follow"),
    "taken out": ([_GONE.where(_THIRD)], 3, "it is missing"),
    "cut off": ([_GONE.where(_LAST)], 6, "rows up to 6 were written"),
    "all gone": ([_GONE], 1, "rows up to 6 were written"),
    "numbered anew": (
        [
            _GONE.where(_THIRD),
            sa.update(tables.audit).where(tables.audit.c.seq > 3).values(seq=tables.audit.c.seq - 1),
        ],
        3,
        "it does not follow",
    ),
    "put in": (
        [sa.insert(tables.audit).values(**{c.name: "x" for c in tables.audit.c if c.name != "seq"}, seq=7)],
        7,
        "",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
async def test_the_first_row_that_was_tampered_with_is_named(oms: Oms, how: str) -> None:
    statements, broken, why = TAMPERED[how]
    await rows(oms, 6)
    assert (await verdict(oms)).broken == 0

    def tamper(tx: Connection) -> None:
        for statement in statements:
            tx.execute(statement)
        if how == "put in":
            tx.execute(sa.update(tables.audit_marks).where(tables.audit_marks.c.name == "head").values(seq=7))

    await oms.store.write(tamper)
    found = await verdict(oms)
    assert (found.broken, why in found.why) == (broken, True), found


async def test_whoever_cuts_off_the_end_and_writes_another_is_found_out_by_a_remembered_head(oms: Oms) -> None:
    await rows(oms, 6)
    remembered = (await verdict(oms)).head
    await rows(oms, 1)
    assert (await verdict(oms, remembered)).broken == 0

    def rewrite(tx: Connection) -> None:
        third = tx.execute(sa.select(tables.audit.c.sha256).where(_THIRD)).scalar_one()
        tx.execute(_GONE.where(tables.audit.c.seq > 3))
        tx.execute(
            sa.update(tables.audit_marks).where(tables.audit_marks.c.name == "head").values(seq=3, sha256=third)
        )

    await oms.store.write(rewrite)
    assert (await verdict(oms)).broken == 0  # by itself it is whole
    found = await verdict(oms, remembered)
    assert (found.broken, found.why) == (4, "row 6 was remembered and is not there")
    await rows(oms, 5)
    found = await verdict(oms, remembered)
    assert (found.broken, found.why) == (6, "it is another one than the one that was remembered")


async def test_what_is_old_or_too_much_is_pruned_and_the_rest_is_still_a_chain(oms: Oms) -> None:
    await rows(oms, 9)
    heads = [sealed.row.seq for sealed in await oms.store.read(lambda tx: audit.newest(tx, Wanted(), 0, 1))]
    assert heads == [9]
    moment = "2026-01-31T12:00:00.000Z"
    gone = await oms.store.write(lambda tx: audit.prune(tx, "2026-01-04T00:00:00Z", 1000, moment))
    assert gone == 3
    assert (await verdict(oms)).rows == 7  # and the row of the pruning itself
    assert await oms.store.write(lambda tx: audit.prune(tx, "2026-01-04T00:00:00Z", 1000, moment)) == 0
    assert await oms.store.write(lambda tx: audit.prune(tx, "2026-01-04T00:00:00Z", 5, moment)) == 2
    (newest, *_) = await events(oms)
    assert (newest["user"], newest["method"], newest["params"]["rows_up_to"]) == ("(oms)", "audit.prune", 5)
    whole = await verdict(oms)
    assert (whole.rows, whole.head.seq, whole.broken) == (6, 11, 0)
    assert (await verdict(oms, Mark(2, "0" * 64))).why.startswith("it is older than what is kept")
    assert (await (await oms.as_admin()).ask("auditservices.describe_head", 0))["pruned"] == 5


# --- the command


def command(*words: str) -> tuple[int, str]:
    ran = oms_command("audit", "verify", *words)
    return ran.code, ran.out + ran.err


def test_the_command_says_that_it_is_whole_or_which_row_is_broken(
    tmp_path: Path,
) -> None:
    (tmp_path / "server").mkdir()
    store = Store(f"sqlite:///{tmp_path / 'server' / 'oms.db'}")
    store.migrate()
    for number in range(5):
        entry = Entry("2026-01-01T12:00:00.000Z", "m", params=msgspec.json.encode({"n": number}).decode())
        store.transaction(lambda tx, entry=entry: audit.append(tx, entry))  # type: ignore[misc]
    data = ("--data", str(tmp_path))
    code, said = command(*data)
    assert (code, "is whole: 5 rows" in said) == (0, True)
    head = said.split()[-1]
    assert command(*data, "--head", head)[0] == 0
    assert command(*data, "--head", "6:" + "0" * 64) == (
        1,
        "oms audit: the audit log is broken at row 6: row 6 was remembered and is not there.\n",
    )
    store.transaction(lambda tx: tx.execute(_changed("user", "somebody else")))
    store.close()
    assert command(*data) == (
        1,
        "oms audit: the audit log is broken at row 3: it was changed.\n",
    )
    assert command(*data, "--head", "x")[0] == 2
