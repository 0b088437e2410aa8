"""Holds what callers were told against what happened: an ok is an effect, an error is none, an unknown is either
but whole, and nothing was done twice, half, or by nobody. Pure; every finding is a sentence."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.hosts.history import CHANGES, GAP, Call, Evidence

AWAY = "DatabaseConnectionError"
SLACK_SECONDS = 0.002  # the audit log cuts its times to milliseconds
Row = dict[str, Any]


def findings(evidence: Evidence) -> list[str]:
    """All that is not as it should be."""
    rules = (answers, owners, both_records, turns, repeats, effects, settings, lists, processes, files, held)
    return [f"{rule.__name__}: {finding}" for rule in rules for finding in rule(evidence)]


def answers(evidence: Evidence) -> Iterator[str]:
    """Each call is answered; to a change with what its job came to, and no older than the question."""
    rows = {row["id"]: row for row in evidence.rows}
    nameless = [line for line in evidence.audit if line.get("outcome") == AWAY and not line.get("user")]
    for call in sorted(evidence.calls, key=lambda call: call.ended):
        data = call.error.get("data", {})
        if "reference" in data:
            yield f"a defect was answered to {call}"
        if call.told == "silence":
            if not evidence.killed.get("server"):
                yield f"nothing was answered to {call}"
            continue
        lines = list(_lines_of(call, evidence.audit, call.user)) or _nameless_line(call, nameless)
        # The file is written first: what the database could not take stands in it all the same.
        written = data.get("cause") != "audit" or "database" in call.error.get("message", "")
        if len(lines) != written:
            yield f"{len(lines)} lines in the audit log for {call}"
        elif call.method in CHANGES:
            yield from _answer(call, rows.get(lines[0].get("job", "") if written else data.get("job", "")))


def _answer(call: Call, job: Row | None) -> Iterator[str]:
    if job is None:
        if call.told != "error":
            yield f"no job stands behind {call}"
        return
    if (job["method"], job["target"]) != (f"kvmservices.{call.method}", call.machine):
        yield f"another job stands behind {call}: {_shown(job)}"
    if call.told == "unknown":
        if call.error["data"].get("job") != job["id"]:
            yield f"another job is named in {call}: {_shown(job)}"
        return
    if not call.began <= job["finished"] <= call.ended:
        yield f"not while it was asked ended what is answered to {call}: {_shown(job)}"
    if call.told == "done" and (job["state"] != "done" or json.loads(job["result"]) != call.result):
        yield f"not done was what was said to be by {call}: {_shown(job)}"
    if call.told == "error":
        said = job["error"] and json.loads(job["error"])["message"]
        if job["state"] == "done" or said != call.error["message"]:
            yield f"not so failed what was said to have by {call}: {_shown(job)}"


def owners(evidence: Evidence) -> Iterator[str]:
    """No job comes from nowhere: its owner was asking for it when it was written down."""
    for row in evidence.rows:
        if _asked(row, evidence) is None:
            yield f"nobody asked for {_shown(row)}"


def both_records(evidence: Evidence) -> Iterator[str]:
    """All has ended, and OMS and its agent know the same of it."""
    rows = {row["id"]: row for row in evidence.rows}
    entries = {entry["id"]: entry for entry in evidence.entries}
    for surplus in entries.keys() - rows.keys():
        yield f"the agent knows a job that OMS does not: {_shown(entries[surplus])}"
    for job_id, row in rows.items():
        entry = entries.get(job_id)
        if row["state"] not in ("done", "failed", "cancelled"):
            yield f"not ended: {_shown(row)}, at the agent {_shown(entry)}"
        elif entry is None:
            if row["state"] == "done":
                yield f"the agent does not know what is done: {_shown(row)}"
        elif (row["state"], row["result"], _kind(row)) != (entry["state"], entry["result"], _kind(entry)):
            yield f"two ends of one job: {_shown(row)}, at the agent {_shown(entry)}"


def turns(evidence: Evidence) -> Iterator[str]:
    """A machine's jobs came one after the other."""
    for machine in evidence.before:
        begun = _begun(evidence, machine)
        for earlier, later in pairwise(begun):
            if later["started"] < earlier["finished"]:
                yield f"side by side: {_shown(earlier)} and {_shown(later)}"


def repeats(evidence: Evidence) -> Iterator[str]:
    """A job is begun again only because its agent was killed."""
    for entry in evidence.entries:
        if entry["runs"] > 1 + (killed := evidence.killed.get("agent", 0)):
            yield f"begun {entry['runs']} times, agents killed {killed}: {_shown(entry)}"


def effects(evidence: Evidence) -> Iterator[str]:
    """What was seen of each machine is what its jobs, in their order, must have done, each once."""
    for machine in evidence.before:
        wanted, _, _ = _played(evidence, machine)
        seen = evidence.effects[machine]
        pattern = "".join(".*" if letter == GAP else letter for letter in seen)
        if not re.fullmatch(pattern, wanted):
            jobs = "; ".join(_shown(entry) for entry in _begun(evidence, machine))
            yield f"{machine} was seen to do {seen!r}, its jobs make {wanted!r}: {jobs}"


def settings(evidence: Evidence) -> Iterator[str]:
    """At the end each machine is there, runs, and has the memory that its jobs left it with."""
    for machine in evidence.before:
        _, runs, memory_kb = _played(evidence, machine)
        wanted = None if memory_kb is None else (runs, memory_kb)
        if (found := evidence.machines.get(machine)) != wanted:
            yield f"{machine} (runs, KB) is {found}, its jobs leave it {wanted}"


def lists(evidence: Evidence) -> Iterator[str]:
    """OMS lists what the hypervisor has; what lasts was in every list that was ever answered."""
    for machine in evidence.machines.keys() ^ evidence.listed.keys():
        yield f"{machine} is known to OMS or to libvirt, not to both"
    for machine, (runs, _) in evidence.machines.items():
        state = evidence.listed.get(machine, {}).get("state")
        if state != ("running" if runs else "shutdown"):
            yield f"OMS says that {machine} is {state}, libvirt that it runs: {runs}"
    lasting = evidence.before.keys() - evidence.disks.keys()
    for call in evidence.calls:
        if call.method not in CHANGES and call.told == "done" and not lasting <= call.result.keys():
            yield f"a list without {lasting - call.result.keys()}: {call}"


def processes(evidence: Evidence) -> Iterator[str]:
    """A machine that runs has one process, any other none."""
    for machine in evidence.before.keys() | evidence.processes.keys():
        runs, _ = evidence.machines.get(machine, (False, 0))
        if (found := evidence.processes.get(machine, 0)) != runs:
            yield f"{machine} has {found} processes; libvirt says that it runs: {runs}"


def held(evidence: Evidence) -> Iterator[str]:
    """When all is over, everything that is there can be changed again."""
    for machine, why in evidence.held.items():
        yield f"nothing can be done to {machine}: {why}"


def files(evidence: Evidence) -> Iterator[str]:
    """The disks are those of the machines that are there, and nothing else is left."""
    wanted = {path for machine, path in evidence.disks.items() if machine in evidence.machines}
    for path in evidence.files - wanted:
        yield f"{path} was left behind"
    for path in wanted - evidence.files:
        yield f"{path} is gone and its machine is not"


def _nameless_line(call: Call, nameless: list[Row]) -> list[Row]:
    """The line of a call of which nobody could know whose it was, as its session stands in the database; each is
    one call's."""
    found = [] if call.error.get("name") != AWAY else list(_lines_of(call, nameless, ""))[:1]
    for line in found:
        nameless.remove(line)
    return found


def _lines_of(call: Call, audit: list[Row], user: str) -> Iterator[Row]:
    for line in audit:
        if line.get("method") != f"kvmservices.{call.method}":  # its login may have been a moment before
            continue
        at = datetime.fromisoformat(line["time"]).timestamp()
        if line.get("user", "") == user and call.began - SLACK_SECONDS <= at <= call.ended + SLACK_SECONDS:
            yield line


def _begun(evidence: Evidence, machine: str) -> list[Row]:
    of_machine = (e for e in evidence.entries if e["lane"] == f"kvmservices/{machine}" and e["runs"])
    return sorted(of_machine, key=lambda entry: float(entry["started"]))


def _asked(row: Row, evidence: Evidence) -> Call | None:
    """The call that made a job."""
    for call in evidence.calls:
        if (
            call.user == row["owner"]
            and (f"kvmservices.{call.method}", call.machine) == (row["method"], row["target"])
            and call.began - SLACK_SECONDS <= row["created"] <= call.ended + SLACK_SECONDS
        ):
            return call
    return None


def _played(evidence: Evidence, machine: str) -> tuple[str, bool, int | None]:
    """What a machine's jobs make it do; whether it runs then, and its memory in KB, None where it is gone."""
    rows = {row["id"]: row for row in evidence.rows}
    trace, runs, memory_kb = "", False, evidence.before[machine] * 1024
    for entry in _begun(evidence, machine):
        if entry["state"] != "done":
            continue
        if trace.endswith("U"):
            return f"{trace} and then {entry['verb']}", False, None
        match entry["verb"].removeprefix("kvmservices."):
            case "start_vm" if not runs:
                trace, runs = trace + "S", True
            case "stop_vm" | "delete_vm" if runs:
                trace, runs = trace + "X", False
            case "update_vm_settings" if entry["result"] == "{}" and entry["id"] in rows:
                call = _asked(rows[entry["id"]], evidence)
                memory_kb = int(call.settings["memory"]) * 1024 if call else 0
        if entry["verb"] == "kvmservices.delete_vm":
            trace += "U"
    return trace, runs, None if trace.endswith("U") else memory_kb


def _kind(record: Row) -> str:
    return json.loads(record["error"])["kind"] if record["error"] else ""


def _shown(record: Row | None) -> str:
    if record is None:
        return "nothing"
    name = record.get("method") or record.get("verb")
    target = record.get("target") or record.get("lane")
    times = f"{record['created']:.3f}-{record['started']:.3f}-{record['finished']:.3f}"
    end = record["error"] or record["result"]
    return f"{record['id'][:8]} {name} {target} {times} runs={record.get('runs')} {record['state']} {end}"
