"""The emptiest call and the list of all guests with their state, of OMS and of each peer that is there."""

import json
import os
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from bench.figures import Goal, pairs, say
from bench.load import call
from bench.peers.client import Question, ask, once
from bench.setting import CLIENTS, MACHINES, Setting
from tests.hosts.stack import NAME

ADDRESS = "10.211.7.2"
GANETI, INCUS, SALT = 5080, 8443, 8010
SECONDS = 1.0
SALT_SECONDS = 3.0
"""One of its calls takes a quarter of a second."""
TURNS = 5
HOW = "bench/peers/prepare DIR, as root, makes it; then make bench ARGS=peers OMS_PEERS=DIR"


def peers(on: Setting) -> None:
    """OMS lists its machines, which libvirt has, live; the peers their guests, which are off too."""
    sessid = on.caller.sessid
    body = call("authservices", "checksessid", sessid)
    empty = Question("127.0.0.1", on.oms.port, "/", b'"error":null', body)
    body = call("kvmservices", "list_vms_status", sessid, 0, NAME)
    listed = Question("127.0.0.1", on.oms.port, "/", b'"shutdown"', body)
    _virsh(on, listed)
    for peer, port, beside in (("Ganeti", GANETI, _ganeti), ("Incus", INCUS, _incus), ("Salt", SALT, _salt)):
        if _is_there(port):
            beside(on, empty, listed)
        else:
            print(f"{peer} is left out: {HOW}")


def _ganeti(on: Setting, empty: Question, listed: Question) -> None:
    version = Question(ADDRESS, GANETI, "/version", b"2")
    bulk = Question(ADDRESS, GANETI, "/2/instances?bulk=1", b'"ADMIN_down"')
    _beside("emptiest call / Ganeti's RAPI", empty, version, Goal("<=", 0.02), Goal(">=", 60))
    _beside("a bare server / Ganeti's RAPI", _bare(on), version, None, None)
    _beside("list / Ganeti's RAPI", listed, bulk, Goal("<=", 0.04), Goal(">=", 30))


def _incus(on: Setting, empty: Question, listed: Question) -> None:
    """The goal is for half as many guests as OMS lists; then the same for as many."""
    papers = _place() / "root" / "tmp" / "client.crt"
    server = Question(ADDRESS, INCUS, "/1.0", b'"trusted"', certificate=papers)
    fewer = Question(ADDRESS, INCUS, "/1.0/instances?recursion=1", b'"Stopped"', certificate=papers)
    as_many = replace(fewer, path=fewer.path + "&project=as-many")
    assert once(fewer).count(b'"Stopped"') == MACHINES // 2
    assert once(as_many).count(b'"Stopped"') == MACHINES
    _beside("emptiest call / Incus", empty, server, Goal("<=", 0.4), None)
    _beside("a bare server / Incus", _bare(on), server, None, None)
    _beside("list / Incus with half as many", listed, fewer, Goal("<=", 0.35), Goal(">=", 4))
    _beside("list / Incus with as many", listed, as_many, None, None)


def _salt(on: Setting, empty: Question, listed: Question) -> None:
    """Its minion asks the same libvirt as OMS's agent."""
    who = {"username": "bench", "password": (_place() / "salt" / "etc" / "password").read_text().strip()}
    login = Question(ADDRESS, SALT, "/login", b'"token"', json.dumps({**who, "eauth": "sharedsecret"}))
    token = json.loads(once(login))["return"][0]["token"]

    def asked(function: str, good: bytes, **named: str) -> Question:
        command = {"client": "local", "tgt": "bench", "fun": function, "kwarg": named}
        return Question(ADDRESS, SALT, "/", good, json.dumps([command]), token=token)

    ping = asked("test.ping", b'"bench": true')
    states = asked("virt.vm_state", b'"shutdown"', connection=on.daemon.uri)
    assert once(states).count(b'"shutdown"') == MACHINES
    _beside("emptiest call / Salt's API", empty, ping, Goal("<=", 0.01), None, seconds=SALT_SECONDS)
    _beside("list / Salt's API", listed, states, Goal("<=", 0.02), Goal(">=", 60), seconds=SALT_SECONDS)


def _bare(on: Setting) -> Question:
    """As empty a call, to Starlette on uvicorn: what client and machine leave to any server in Python."""
    return Question("127.0.0.1", int(on.floor.url.rpartition(":")[2]), "/small", b'"error":null', "{}")


def _beside(
    title: str, ours: Question, theirs: Question, p50: Goal | None, rate: Goal | None, *, seconds: float = SECONDS
) -> None:
    found = pairs(
        lambda: ask(ours, clients=1, seconds=SECONDS).p50,
        lambda: ask(theirs, clients=1, seconds=seconds).p50,
        TURNS,
    )
    say(f"{title}: p50", found, p50, "ms")
    found = pairs(
        lambda: ask(ours, clients=CLIENTS, seconds=SECONDS).rate,
        lambda: ask(theirs, clients=CLIENTS, seconds=seconds).rate,
        TURNS,
    )
    say(f"{title}: rate at {CLIENTS}", found, rate, "per s")


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


def _place() -> Path:
    """The directory that `prepare` was given."""
    return Path(os.environ["OMS_PEERS"])
