"""`make bench`, or `python -m bench [part ...]`. Needs root and wrk. A missed goal is said and is no failure."""

import shutil
import sys
from collections.abc import Callable

from bench import (
    calls,
    consoles,
    containers,
    costs,
    events,
    gui,
    jobs,
    machine,
    machines,
    moves,
    relays,
    rootfs,
    stats,
    templates,
)
from bench.figures import HEAD
from bench.fleet import __main__ as fleet
from bench.peers import parts as peers
from bench.setting import MACHINES, Setting, prepared
from tests.hosts.libvirtd import why_not

PARTS: dict[str, Callable[[Setting], None]] = {
    "session": calls.session,
    "recorded": calls.recorded,
    "connections": calls.connections,
    "live": machines.live,
    "start": machines.start,
    "containers": containers.containers,
    "jobs": jobs.jobs,
    "changes": jobs.changes,
    "events": events.events,
    "audit": costs.audit,
    "templates": templates.templates,
    "rootfs": rootfs.rootfs,
    "moves": moves.moves,
    "stats": stats.stats,
    "peers": peers.peers,
    "memory": costs.memory,
    "relays": relays.relays,
    "consoles": consoles.consoles,
}


def main() -> None:
    """All parts, or those that are named."""
    if sys.argv[1:2] == ["fleet"]:
        fleet.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["gui"]:
        gui.main(sys.argv[2:])
        return
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [part for part in wanted if part not in PARTS]:
        sys.exit(f"bench: there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    if reason := why_not() or (None if shutil.which("wrk") else "needs wrk (scripts/bootstrap test installs it)"):
        sys.exit(f"bench: {reason}")
    with prepared() as setting:
        print(machine.described(setting.directory, setting.bare))
        print(f"{MACHINES} machines that are off; ratios of OMS to what stands beside it, measured in turn\n")
        print(HEAD, flush=True)
        for part in wanted:
            PARTS[part](setting)


if __name__ == "__main__":
    main()
