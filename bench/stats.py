"""What measuring costs a host, and what asking for it costs a caller."""

import time

from bench.figures import Goal, Pairs, pairs, say
from bench.load import call, good, wrk
from bench.machine import cpu_ms
from bench.setting import Setting
from tests.hosts.stack import NAME

SECONDS = 10
TIMES = 3
ALLOWED_PERCENT = 1.0


def stats(on: Setting) -> None:
    """An agent at rest, with all that it does then; and a call beside another that goes the same way."""
    resting = Pairs([_resting_percent(on) for _ in range(TIMES)], [ALLOWED_PERCENT] * TIMES)
    say("an agent at rest / 1 % of one CPU", resting, Goal("<=", 1), "%")
    sessid = on.caller.sessid
    ours = call("statsservices", "get_stats", sessid, 0, NAME)
    bare = call("isoservices", "list_images", sessid, 0, NAME)  # a directory with nothing in it
    found = pairs(
        lambda: good(wrk(on.url, [ours], clients=1, seconds=1)).p50,
        lambda: good(wrk(on.url, [bare], clients=1, seconds=1)).p50,
    )
    say("get_stats / list_images of no images: p50", found, Goal("<=", 1.25), "ms")


def _resting_percent(on: Setting) -> float:
    before = cpu_ms(on.oms.pid("agent"))
    time.sleep(SECONDS)
    return (cpu_ms(on.oms.pid("agent")) - before) / (SECONDS * 10)
