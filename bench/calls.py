"""Calls that OMS answers by itself, beside Starlette's answers of the same size."""

from bench.figures import Goal, pairs, say
from bench.load import Load, call, good, wrk
from bench.machine import cpu_ms
from bench.setting import CLIENTS, Setting
from tests.hosts.stack import NAME

SECONDS = 1


def session(on: Setting) -> None:
    """A session check beside an answer of 289 bytes."""
    body = call("authservices", "checksessid", on.caller.sessid)
    _kept(on, "session check / Starlette 289 B", body, "/small", rate=0.6, p50=1.7)


def recorded(on: Setting) -> None:
    """A recorded list of all machines."""
    body = call("kvmservices", "list_vms_status", on.caller.sessid, 3600, NAME)
    _kept(on, "recorded list / Starlette, same size", body, "/large", rate=0.8, p50=1.7)


def connections(on: Setting) -> None:
    """A new connection for each session check."""
    body = call("authservices", "checksessid", on.caller.sessid)
    _at_once(on, "new connections / Starlette", body, "/small", rate=0.85, close=True)


def _kept(on: Setting, title: str, body: str, path: str, *, rate: float, p50: float) -> None:
    found = pairs(
        lambda: good(wrk(on.url, [body], clients=1, seconds=SECONDS)).p50,
        lambda: good(wrk(on.floor.url + path, [body], clients=1, seconds=SECONDS)).p50,
    )
    say(f"{title}: p50", found, Goal("<=", p50), "ms")
    _at_once(on, title, body, path, rate=rate)


def _at_once(on: Setting, title: str, body: str, path: str, *, rate: float, close: bool = False) -> None:
    """Rates, and beside them the server's CPU time for a call, which others on the machine disturb less."""
    ours: list[float] = []
    theirs: list[float] = []

    def measured(url: str, pid: int, used: list[float]) -> float:
        before = cpu_ms(pid)
        load: Load = good(wrk(url, [body], clients=CLIENTS, seconds=SECONDS, close=close))
        used.append((cpu_ms(pid) - before) * 1000 / (load.rate * SECONDS))
        return load.rate

    found = pairs(
        lambda: measured(on.url, on.oms.pid("server"), ours),
        lambda: measured(on.floor.url + path, on.floor.pid, theirs),
    )
    say(f"{title}: rate at {CLIENTS}", found, Goal(">=", rate), "per s")
    say("  CPU time of a call", type(found)(ours, theirs), None, "us")
