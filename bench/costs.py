"""What OMS costs besides time on the wire: the audit log's part of a call, and memory."""

import os
import time
from collections.abc import Callable

import msgspec

from bench.figures import Pairs, pairs, say
from bench.load import call, good, wrk
from bench.machine import cpu_ms, memory_mb
from bench.setting import CLIENTS, Setting
from oms.server.audit import Audit, Line
from oms.server.store.moments import moment, now

LINES = 5000
PROCESSES = ("server", "agent", "nats", "signer")


def audit(on: Setting) -> None:
    """An audit line beside a bare append of the same bytes, and as a part of a session check's CPU time."""
    written = Audit(on.directory / "audit.log")
    bare = os.open(on.directory / "bare.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    text = msgspec.json.encode(_line()) + b"\n"
    found = pairs(lambda: _us(lambda: written.write(_line())), lambda: _us(lambda: os.write(bare, text)))
    written.close()
    os.close(bare)
    say("an audit line / a bare append", found, None, "us")
    say(
        "  an audit line / a session check: CPU time",
        Pairs(found.ours, [_check_us(on)] * len(found.ours)),
        None,
        "us",
    )


def _line() -> Line:
    return Line(
        time=moment(now()),
        address="127.0.0.1",
        method="authservices.checksessid",
        user="admin",
        session="01234567",
        milliseconds=0.123,
    )


def _us(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(LINES):
        act()
    return (time.perf_counter() - began) * 1e6 / LINES


def _check_us(on: Setting) -> float:
    body = call("authservices", "checksessid", on.caller.sessid)
    before = cpu_ms(on.oms.pid("server"))
    load = good(wrk(on.url, [body], clients=CLIENTS, seconds=2))
    return (cpu_ms(on.oms.pid("server")) - before) * 1000 / (load.rate * 2)


def memory(on: Setting) -> None:
    """Of each process, after all that."""
    for name in PROCESSES:
        resident, private = memory_mb(on.oms.pid(name))
        print(f"memory of {name:37} {resident:6.0f} MB, of which {private:.0f} are its own alone", flush=True)
