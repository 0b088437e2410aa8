"""What clients asked and were told while parts were killed, and whether the world agrees with it afterwards.

Jepsen's idea: `ok` must have happened, an error must not, `unknown` may have happened but must be whole. The world
is the hypervisor, the server's database and the agent's journal.
"""

import http.client
import json
import random
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.hosts.stack import NAME, Caller, CallFailed, Stack

Told = Literal["ok", "error", "unknown"]


@dataclass
class Asked:
    """One call, and what its client was told."""

    method: str
    machine: str
    told: Told = "unknown"
    error: str = ""


@dataclass
class History:
    """All of them."""

    calls: list[Asked] = field(default_factory=list)

    def client(self, oms: Stack, machines: list[str], chance: random.Random, until: float) -> None:
        """Start and stop machines at random until the time is over."""
        caller = Caller(oms.port, timeout=20).log_in()
        sessid = caller.sessid
        while time.monotonic() < until:
            asked = Asked(chance.choice(("start_vm", "stop_vm")), chance.choice(machines))
            self.calls.append(asked)
            try:
                caller.call("kvm", asked.method, sessid, 0, NAME, asked.machine)
                asked.told = "ok"
            except CallFailed as failure:
                unknown = failure.name == "FuncMethodTimeoutError" or _not_known(failure.error)
                asked.told, asked.error = "unknown" if unknown else "error", str(failure)
                time.sleep(0.1)
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                time.sleep(0.1)
        caller.close()

    def run(self, oms: Stack, machines: list[str], seed: int, seconds: float) -> list[threading.Thread]:
        """Four clients, begun."""
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self.client, args=(oms, machines, random.Random(seed * 10 + number), until))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        return threads


def _not_known(error: dict[str, Any]) -> bool:
    """An ended job whose own outcome the host could not tell."""
    data: dict[str, str] = error.get("data", {})
    return data.get("outcome") == "unknown" or data.get("reason") == "interrupted"


def settled(oms: Stack, caller: Caller, seconds: float = 60) -> None:
    """Wait until no job is open."""
    end = time.monotonic() + seconds
    while open_ := caller.task("list_tasks", "unfinished"):
        assert time.monotonic() < end, f"jobs stay open: {open_} {oms.log('agent')} {oms.log('server')}"
        time.sleep(0.1)


def check(oms: Stack, history: History, virt: Any, caller: Caller) -> None:
    """The world agrees with what was told; raises AssertionError where not."""
    settled(oms, caller)
    with closing(sqlite3.connect(oms.directory / "server" / "oms.db")) as database:
        jobs = database.execute("SELECT id, method, target, state, finished FROM jobs").fetchall()
    with closing(sqlite3.connect(oms.directory / "agent" / "journal.db")) as journal:
        runs = {row[0]: row for row in journal.execute("SELECT id, state, runs, finished FROM jobs")}
    _every_ok_was_done(history, jobs)
    _both_records_agree(jobs, runs)
    _the_last_word_stands(jobs, runs, virt)
    assert set(caller.kvm("list_vms_status")) == {domain.name() for domain in virt.listAllDomains()}
    assert not [path for path in oms.images.rglob("*") if ".staging" in path.parts and path.is_file()]


def _every_ok_was_done(history: History, jobs: list[Any]) -> None:
    """Calls that were made side by side share a job, so there are at most as many done jobs as calls."""
    for method in ("start_vm", "stop_vm"):
        told = [asked for asked in history.calls if asked.method == method]
        done = [job for job in jobs if job[1].endswith(method) and job[3] == "done"]
        for machine in {asked.machine for asked in told}:
            oks = sum(asked.told == "ok" for asked in told if asked.machine == machine)
            maybe = sum(asked.told == "unknown" for asked in told if asked.machine == machine)
            effects = sum(job[2] == machine for job in done)
            assert effects <= oks + maybe, f"{machine}: {effects} times {method}, told {oks} and perhaps {maybe}"
            assert bool(effects) or not oks, f"{machine}: {method} was told done and never was"


def _both_records_agree(jobs: list[Any], runs: dict[str, Any]) -> None:
    for job in jobs:
        if job[3] == "done":
            assert job[0] in runs, f"job {job} is done and no host has done it"
            assert runs[job[0]][1] == "done"
        elif job[0] in runs:
            assert runs[job[0]][1] in ("failed", "cancelled"), f"{job} and {runs[job[0]]}"
    assert all(row[1] in ("done", "failed", "cancelled") for row in runs.values())


def _the_last_word_stands(jobs: list[Any], runs: dict[str, Any], virt: Any) -> None:
    """Jobs of one machine run one after the other: its state is what the last of them made it."""
    for domain in virt.listAllDomains():
        done = [job for job in jobs if job[2] == domain.name() and job[3] == "done"]
        failed = [job for job in jobs if job[2] == domain.name() and job[3] == "failed" and job[0] in runs]
        if not done:
            continue
        last = max(done, key=lambda job: runs[job[0]][3])
        if any(runs[job[0]][3] > runs[last[0]][3] for job in failed):
            continue  # what failed after it may or may not have had its effect
        assert bool(domain.isActive()) == last[1].endswith("start_vm"), f"{domain.name()} after {last}"
