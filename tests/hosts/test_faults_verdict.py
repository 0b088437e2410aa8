"""The verdict itself: it finds nothing in an honest history, and every kind of lie in a forged one."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.hosts.history import Call, Evidence
from tests.hosts.verdict import findings

IDS = ["a" * 32, "b" * 32, "c" * 32, "d" * 32, "e" * 32]
ASKED = [
    ("start_vm", "m", {}, 0),
    ("update_vm_settings", "m", {"memory": "44"}, {}),
    ("stop_vm", "m", {}, 0),
    ("start_vm", "d", {}, 0),
    ("delete_vm", "d", {}, 0),
]


def honest() -> Evidence:
    calls, audit, rows, entries = [], [], [], []
    for number, (method, machine, settings, result) in enumerate(ASKED):
        began = 1_700_000_000.0 + number * 10
        calls.append(Call("client0", method, machine, settings, began, began + 5, "done", result))
        audit.append({"time": datetime.fromtimestamp(began + 4, UTC).isoformat()})
        audit[-1] |= {"user": "client0", "method": f"kvmservices.{method}", "job": IDS[number]}
        times = {"created": began + 1, "started": began + 2, "finished": began + 3}
        ended = {"id": IDS[number], "state": "done", "result": json.dumps(result), "error": "", **times}
        rows.append({**ended, "method": f"kvmservices.{method}", "target": machine, "owner": "client0"})
        entries.append({**ended, "verb": f"kvmservices.{method}", "lane": f"kvmservices/{machine}", "runs": 1})
    return Evidence(
        calls=calls,
        audit=audit,
        rows=rows,
        entries=entries,
        effects={"m": "SX", "d": "SXU"},
        before={"m": 40, "d": 40},
        machines={"m": (False, 44 * 1024)},
        listed={"m": {"state": "shutdown"}},
        processes={},
        held={},
        disks={"d": "d.img"},
        files=set(),
        killed={"server": 1},
    )


def refused(evidence: Evidence, number: int) -> None:
    """The caller was told an error, and OMS wrote it down so."""
    error = {"kind": "FuncManError", "message": "no", "data": {}}
    evidence.calls[number].told, evidence.calls[number].result = "error", None
    evidence.calls[number].error = {"name": "FuncManError", "message": "no", "data": {}}
    evidence.rows[number] |= {"state": "failed", "result": "", "error": json.dumps(error)}


def test_an_honest_history_has_no_findings() -> None:
    assert findings(honest()) == []


def test_an_error_without_an_effect_an_unknown_and_a_silence_are_honest() -> None:
    evidence = honest()
    refused(evidence, 0)
    evidence.entries[0] |= {key: evidence.rows[0][key] for key in ("state", "result", "error")}
    evidence.effects["m"] = ""
    evidence.calls[2].told, evidence.calls[2].error = "unknown", {"name": "x", "data": {"job": IDS[2]}}
    evidence.calls[3].told = "silence"
    assert findings(evidence) == []


def test_what_nobody_watched_may_have_been_anything() -> None:
    evidence = honest()
    evidence.effects = {"m": "?X", "d": "S?"}
    assert findings(evidence) == []


def nameless(evidence: Evidence, number: int) -> None:
    """The database was away, so nobody knew whose session it was, and nothing was done."""
    evidence.calls[number].told, evidence.calls[number].result = "error", None
    evidence.calls[number].error = {"name": "DatabaseConnectionError", "message": "no", "data": {}}
    evidence.audit[number] |= {"user": "", "outcome": "DatabaseConnectionError"}
    del evidence.audit[number]["job"], evidence.rows[number], evidence.entries[number]


def test_a_call_whose_session_nobody_could_look_up_has_a_line_without_a_name() -> None:
    evidence = honest()
    nameless(evidence, 4)
    evidence.effects["d"], evidence.machines["d"] = "S", (True, 40 * 1024)
    evidence.listed["d"], evidence.processes["d"], evidence.files = {"state": "running"}, 1, {"d.img"}
    assert findings(evidence) == []
    evidence.calls.append(evidence.calls[4])  # a line is of one call alone
    assert [finding for finding in findings(evidence) if finding.startswith("answers: 0 lines")]


def lie_result(evidence: Evidence) -> None:
    evidence.calls[1].result = {"memory": "no"}


def lie_error(evidence: Evidence) -> None:
    refused(evidence, 0)


def lie_no_job(evidence: Evidence) -> None:
    del evidence.audit[0]["job"]


def lie_other_job(evidence: Evidence) -> None:
    evidence.audit[0]["job"] = IDS[2]


def lie_old_answer(evidence: Evidence) -> None:
    evidence.rows[2]["finished"] = evidence.calls[2].began - 1


def lie_too_early(evidence: Evidence) -> None:
    evidence.rows[2]["finished"] = evidence.calls[2].ended + 1


def lie_no_audit(evidence: Evidence) -> None:
    del evidence.audit[1]


def lie_defect(evidence: Evidence) -> None:
    refused(evidence, 0)
    evidence.calls[0].error["data"] = {"reference": "1234"}


def lie_silence(evidence: Evidence) -> None:
    evidence.calls[0].told, evidence.killed = "silence", {}


def lie_no_audit_of_what_was_written(evidence: Evidence) -> None:
    refused(evidence, 0)
    evidence.calls[0].error["data"] = {"cause": "audit"}


def lie_orphan(evidence: Evidence) -> None:
    evidence.processes = {"m": 1}


def lie_two_processes(evidence: Evidence) -> None:
    evidence.machines["m"], evidence.processes = (True, 44 * 1024), {"m": 2}


def lie_held(evidence: Evidence) -> None:
    evidence.held = {"m": "it is locked"}


def lie_nobody_asked(evidence: Evidence) -> None:
    del evidence.calls[3]


def lie_open(evidence: Evidence) -> None:
    evidence.rows[0]["state"] = "running"


def lie_agent_forgot(evidence: Evidence) -> None:
    del evidence.entries[2]


def lie_oms_forgot(evidence: Evidence) -> None:
    del evidence.rows[2]


def lie_twice(evidence: Evidence) -> None:
    evidence.effects["m"] = "SXSX"


def lie_never(evidence: Evidence) -> None:
    evidence.effects["m"] = ""


def lie_order(evidence: Evidence) -> None:
    evidence.effects["d"] = "SUX"


def lie_after_a_gap(evidence: Evidence) -> None:
    evidence.effects["m"] = "?XS"


def lie_runs(evidence: Evidence) -> None:
    evidence.entries[0]["runs"] = 2


def lie_side_by_side(evidence: Evidence) -> None:
    evidence.entries[1]["started"] = evidence.entries[0]["started"] + 0.1


def lie_memory(evidence: Evidence) -> None:
    evidence.machines["m"] = (False, 40 * 1024)


def lie_still_there(evidence: Evidence) -> None:
    evidence.machines["d"], evidence.listed["d"] = (False, 40 * 1024), {"state": "shutdown"}
    evidence.files = {"d.img"}


def lie_list(evidence: Evidence) -> None:
    evidence.listed["m"] = {"state": "running"}


def lie_shorter_list(evidence: Evidence) -> None:
    evidence.listed = {}


def lie_partial_list(evidence: Evidence) -> None:
    call = Call("client0", "list_vms_status", "", {}, 1_700_000_060, 1_700_000_061, "done", {"d": {}})
    evidence.calls.append(call)
    evidence.audit.append({"time": "2023-11-14T22:14:20.500Z", "user": "client0"})


def lie_disk(evidence: Evidence) -> None:
    evidence.files = {"d.img"}


def lie_staging(evidence: Evidence) -> None:
    evidence.files = {f".staging/{IDS[4]}"}


LIES = {
    lie_result: "answers", lie_error: "both_records", lie_no_job: "answers", lie_other_job: "answers",
    lie_old_answer: "answers", lie_too_early: "answers", lie_no_audit: "answers", lie_defect: "answers",
    lie_nobody_asked: "owners", lie_open: "both_records", lie_agent_forgot: "both_records",
    lie_oms_forgot: "both_records", lie_twice: "effects", lie_never: "effects", lie_order: "effects",
    lie_after_a_gap: "effects", lie_runs: "repeats", lie_side_by_side: "turns", lie_memory: "settings",
    lie_still_there: "settings", lie_list: "lists", lie_shorter_list: "lists", lie_partial_list: "lists",
    lie_disk: "files", lie_staging: "files", lie_silence: "answers",
    lie_no_audit_of_what_was_written: "answers", lie_orphan: "processes", lie_two_processes: "processes",
    lie_held: "held",
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_every_lie_is_found_by_its_rule(lie: Any) -> None:
    evidence = honest()
    lie(evidence)
    assert [finding for finding in findings(evidence) if finding.startswith(f"{LIES[lie]}: ")]


def test_every_lie_is_told() -> None:
    assert {thing for name, thing in globals().items() if name.startswith("lie_")} == set(LIES)
