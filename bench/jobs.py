"""Changing calls on many machines: each is a job, written down by OMS and by the host before and after."""

import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.figures import Goal, Pairs, pairs, say
from bench.load import call, good, wrk
from bench.setting import CLIENTS, MACHINES, Setting, name
from tests.hosts.stack import NAME

SECONDS = 1  # a host's journal takes some thousand jobs in its first minutes, and then says that it is busy
COMMITS_OF_A_JOB = 4
"""That somebody is promised something by: OMS has it, the host has it and begins, it has ended, and OMS knows that
and has it in the audit log."""
COMMITS_OF_A_CHANGE = 2
"""Of what OMS itself keeps: the change, and the row of the audit log."""
WANTED_PER_S = 200
"""Changing calls a second, at the least."""


def jobs(on: Setting) -> None:
    """Jobs that give the hypervisor nothing to do beside bare commits; then ones that change a definition."""
    stops = [call("kvmservices", "stop_vm", on.caller.sessid, 0, NAME, name(n)) for n in range(MACHINES)]
    found = pairs(lambda: _rate(on, stops), lambda: commits(on) / COMMITS_OF_A_JOB)
    say(f"jobs at {CLIENTS} / {COMMITS_OF_A_JOB} bare commits each: rate", found, None, "per s")
    changes = [
        call("kvmservices", "update_vm_settings", on.caller.sessid, 0, NAME, name(n), {"memory": str(memory)})
        for memory in (48, 32)
        for n in range(MACHINES)
    ]
    found = pairs(lambda: _rate(on, changes), lambda: _definitions(on))
    say(f"update_vm_settings / bare definitions: rate at {CLIENTS}", found, None, "per s")


def changes(on: Setting) -> None:
    """Calls that change what OMS itself keeps, each with its row in the audit log before the answer."""
    front = (on.caller.sessid, 0)
    on.caller.call("userservices", "add_user", *front, "bench", "seven purple whales at noon", "viewer")
    roles = [call("userservices", "set_role", *front, "bench", role) for role in ("viewer", "operator")]
    found = pairs(lambda: _rate(on, roles), lambda: commits(on) / COMMITS_OF_A_CHANGE)
    say(f"changing calls at {CLIENTS} / {COMMITS_OF_A_CHANGE} bare commits each: rate", found, None, "per s")
    wanted = Pairs(found.ours, [float(WANTED_PER_S)] * len(found.ours))
    say("  changing calls / as many as there must be", wanted, Goal(">=", 1), "per s")


def _rate(on: Setting, bodies: Sequence[str]) -> float:
    return good(wrk(on.url, bodies, clients=CLIENTS, seconds=SECONDS)).rate


def commits(on: Setting) -> float:
    """Commits a second that survive the power going off, of one row each, where OMS's database lies."""
    database = sqlite3.connect(on.directory / "commits.db", isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, what TEXT)")
    end, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        database.execute("INSERT INTO jobs (what) VALUES (?)", ("x" * 500,))
        count += 1
    database.close()
    return count / SECONDS


def _definitions(on: Setting) -> float:
    """Definitions a second by as many connections at once, each read, changed, and written."""
    end = time.monotonic() + SECONDS

    def change(first: int) -> int:
        connection, count = on.daemon.connect(), 0
        while time.monotonic() < end:
            domain = connection.lookupByName(name((first + count * CLIENTS) % MACHINES))
            connection.defineXML(domain.XMLDesc(0))
            count += 1
        connection.close()
        return count

    with ThreadPoolExecutor(CLIENTS) as threads:
        return sum(threads.map(change, range(CLIENTS))) / SECONDS
