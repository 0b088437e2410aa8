"""The emptiest call and the list of all guests with their state, of OMS and of each peer that is there."""

import os
import socket
import subprocess
import time
from pathlib import Path

from bench.figures import Goal, pairs, say
from bench.load import call
from bench.peers.client import Question, ask
from bench.setting import CLIENTS, MACHINES, Setting
from tests.hosts.stack import NAME

ADDRESS = "10.211.7.2"
GANETI, INCUS = 5080, 8443
SECONDS = 1.0
TURNS = 5
HOW = "bench/peers/prepare DIR, as root, makes it; then make bench ARGS=peers OMS_PEERS=DIR"


def peers(on: Setting) -> None:
    """OMS lists its machines, which libvirt has, live; the peers their guests, which are off too, half as many."""
    sessid = on.caller.sessid
    body = call("authservices", "checksessid", sessid)
    empty = Question("127.0.0.1", on.oms.port, "/", b'"error":null', body)
    body = call("kvmservices", "list_vms_status", sessid, 0, NAME)
    listed = Question("127.0.0.1", on.oms.port, "/", b'"shutdown"', body)
    _virsh(on, listed)
    if _is_there(GANETI):
        version = Question(ADDRESS, GANETI, "/version", b"2")
        bulk = Question(ADDRESS, GANETI, "/2/instances?bulk=1", b'"ADMIN_down"')
        _beside("Ganeti's RAPI", empty, version, Goal("<=", 0.02), Goal(">=", 60))
        _beside("Ganeti's RAPI", listed, bulk, Goal("<=", 0.04), Goal(">=", 30), what="list")
    else:
        print(f"Ganeti is left out: {HOW}")
    if _is_there(INCUS):
        papers = _papers()
        server = Question(ADDRESS, INCUS, "/1.0", b'"trusted"', certificate=papers)
        instances = Question(ADDRESS, INCUS, "/1.0/instances?recursion=1", b'"Stopped"', certificate=papers)
        _beside("Incus", empty, server, Goal("<=", 0.4), None)
        _beside("Incus", listed, instances, Goal("<=", 0.35), Goal(">=", 4), what="list")
    else:
        print(f"Incus is left out: {HOW}")


def _beside(
    peer: str, ours: Question, theirs: Question, p50: Goal, rate: Goal | None, *, what: str = "emptiest call"
) -> None:
    found = pairs(
        lambda: ask(ours, clients=1, seconds=SECONDS).p50,
        lambda: ask(theirs, clients=1, seconds=SECONDS).p50,
        TURNS,
    )
    say(f"{what} / {peer}: p50", found, p50, "ms")
    found = pairs(
        lambda: ask(ours, clients=CLIENTS, seconds=SECONDS).rate,
        lambda: ask(theirs, clients=CLIENTS, seconds=SECONDS).rate,
        TURNS,
    )
    say(f"{what} / {peer}: rate at {CLIENTS}", found, rate, "per s")


def _virsh(on: Setting, listed: Question) -> None:
    """The program, from its start to its end."""
    command = ["virsh", "-c", on.daemon.uri, "list", "--all"]

    def took() -> float:
        began = time.perf_counter()
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert said.count("shut off") == MACHINES
        return (time.perf_counter() - began) * 1000

    found = pairs(lambda: ask(listed, clients=1, seconds=SECONDS).p50, took, TURNS)
    say("list / virsh list --all, a process", found, Goal("<=", 0.08), "ms")


def _is_there(port: int) -> bool:
    try:
        socket.create_connection((ADDRESS, port), 2).close()
    except OSError:
        return False
    return True


def _papers() -> Path:
    """The certificate that Incus was told of, in the directory that `prepare` was given."""
    return Path(os.environ["OMS_PEERS"]) / "root" / "tmp" / "client.crt"
