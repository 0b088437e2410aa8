"""What callers were told and what really happened, written down side by side, to be compared by `verdict`.

Each client is a thread with a user of its own that makes one call after the other and notes what it asked, when,
and what it was told. A watcher on a connection of its own notes what machines did. When the trouble is over, the
records of OMS and of its agent, and the state of the hypervisor and the disk, are added.
"""

import contextlib
import json
import random
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import libvirt
from sqlalchemy import select

from oms.agent.guests.libvirt.line import start_event_loop
from oms.server.store import Store
from oms.server.store.tables import jobs
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import NAME, NO_ANSWER, Caller, Stack
from tests.waiting import until

CHANGES = ("start_vm", "stop_vm", "update_vm_settings", "delete_vm")
GAP = "?"
EFFECTS = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: "S",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "X",
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: "U",
}

Told = Literal["done", "error", "unknown", "silence"]
"""`unknown`: an error that says so, with the job's id; `silence`: the connection broke before an answer came."""


@dataclass
class Call:
    """One call and its answer. Times are seconds since 1970; `machine` is empty for a list."""

    user: str
    method: str
    machine: str
    settings: dict[str, str]
    began: float
    ended: float = 0.0
    told: Told = "silence"
    result: Any = None
    error: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        answer = f"{self.error.get('name')} {self.error.get('message')}" if self.error else self.result
        what = f"{self.user} at {self.began:.3f}-{self.ended:.3f} {self.method} {self.machine} {self.settings}"
        return f"{what}: {self.told} {answer}"


@dataclass
class Evidence:
    """All that is known when everything has come to rest.

    `effects` is by machine a text of S (started), X (stopped), U (undefined) and ? (nobody watched for a while).
    `machines` is by name state and memory of the next start in KB, by libvirt; `listed` is what OMS says of them;
    `processes` how many there are of each; `held` those that nothing could be done to any more. `killed` says how
    often each part was.
    """

    calls: list[Call]
    audit: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    entries: list[dict[str, Any]]
    effects: dict[str, str]
    before: dict[str, int]
    machines: dict[str, tuple[bool, int]]
    listed: dict[str, dict[str, Any]]
    processes: dict[str, int]
    held: dict[str, str]
    disks: dict[str, str]
    files: set[str]
    killed: dict[str, int]

    def told(self, kind: Told) -> list[Call]:
        """The calls that were answered so."""
        return [call for call in self.calls if call.told == kind]


def ask(caller: Caller, call: Call) -> None:
    """Make a call, and note what is told."""
    params = [part for part in (call.machine, call.settings) if part]
    with contextlib.suppress(*NO_ANSWER):
        answer = caller.raw("kvmservices", call.method, caller.sessid, 0, NAME, *params)
        call.error = answer["error"] or {}
        if not call.error:
            call.told, call.result = "done", answer["result"]["result"]["result"]
        else:
            call.told = "unknown" if call.error["name"] == "FuncMethodTimeoutError" else "error"
    call.ended = time.time()


class Client(threading.Thread):
    """Makes calls, chosen at random, until told to end."""

    def __init__(self, caller: Caller, user: str, lasting: list[str], disposable: list[str], seed: str) -> None:
        super().__init__(name=user)
        self.user, self.calls = user, list[Call]()
        self.end = threading.Event()
        self._caller = caller
        self._lasting, self._disposable = lasting, disposable
        self._random = random.Random(f"{seed}/{user}")

    def run(self) -> None:
        pause = 0.0
        while not self.end.wait(pause + self._random.uniform(0.01, 0.15)):
            call = Call(self.user, *self._choose(), time.time())
            self.calls.append(call)
            ask(self._caller, call)
            pause = 0.1 if call.told == "silence" else 0.0
        self._caller.close()

    def _choose(self) -> tuple[str, str, dict[str, str]]:
        (method,) = self._random.choices(("list_vms_status", *CHANGES), (3, 4, 4, 2, 1))
        if method == "list_vms_status":
            return method, "", {}
        every = self._disposable if method == "delete_vm" else [*self._lasting * 3, *self._disposable]
        memory = {"memory": str(self._random.randint(32, 48))} if method == "update_vm_settings" else {}
        return method, self._random.choice(every), memory


class Question(threading.Thread):
    """One call, made beside those of the clients."""

    def __init__(self, caller: Caller, call: Call) -> None:
        super().__init__(name=call.method)
        self._caller, self._call = caller, call
        self.start()

    def run(self) -> None:
        ask(self._caller, self._call)
        self._caller.close()

    def answer(self, seconds: float = 60) -> Call:
        """The call, once it was answered."""
        self.join(seconds)
        assert not self.is_alive(), f"no answer to {self._call}"
        return self._call


class Watcher:
    """Notes what machines do, over a connection of its own that comes back when libvirtd does."""

    def __init__(self, libvirtd: PrivateLibvirtd) -> None:
        self.effects: dict[str, str] = {}
        self._libvirtd = libvirtd
        self._gone: set[str] = set()
        self._lost, self._ended = threading.Event(), threading.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watcher":
        start_event_loop()
        self._thread.start()
        assert self._up.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._lost.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._lost.clear()
            try:
                connection = self._libvirtd.connect()
                connection.registerCloseCallback(lambda *_: self._lost.set(), None)
                kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
                number = connection.domainEventRegisterAny(None, kind, self._hear, None)
            except libvirt.libvirtError:
                time.sleep(0.05)
                continue
            self._up.set()
            self._lost.wait()
            self._up.clear()
            if not self._ended.is_set():
                self._hear_nothing()
            with contextlib.suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(number)
                connection.unregisterCloseCallback()

    def _hear(self, _connection: Any, domain: Any, event: int, _detail: int, _: object) -> None:
        name = domain.name()
        if event == libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
            self._gone.add(name)
        if event in EFFECTS:
            self.effects[name] = self.effects.get(name, "") + EFFECTS[event]

    def follow(self, machines: list[str]) -> None:
        """Begin anew, with these machines."""
        self.effects = dict.fromkeys(machines, "")

    def _hear_nothing(self) -> None:
        self.effects = {name: seen if seen.endswith(GAP) else seen + GAP for name, seen in self.effects.items()}

    def catch_up(self) -> None:
        """Wait until everything has been heard that has happened: events come in order."""
        assert self._up.wait(60)
        marker = f"marker-{time.monotonic_ns()}"
        with contextlib.closing(self._libvirtd.connect()) as connection:
            xml = f"<domain type='qemu'><name>{marker}</name><memory unit='MiB'>32</memory>"
            connection.defineXML(xml + "<os><type arch='x86_64'>hvm</type></os></domain>").undefine()
        until(lambda: marker in self._gone, "libvirt's events do not arrive")


def table(path: Path, name: str, since: float) -> list[dict[str, Any]]:
    """The rows of a database's table that were made since then."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"SELECT * FROM {name} WHERE created >= ?", (since,))]


def job_rows(oms: Stack, since: float) -> list[dict[str, Any]]:
    """The jobs that OMS wrote down since then."""
    store = Store(oms.database)
    found = store.transaction(lambda tx: tx.execute(select(jobs).where(jobs.c.created >= since)).mappings().all())
    store.close()
    return [dict(row) for row in found]


def audit_lines(oms: Stack, since: str) -> list[dict[str, Any]]:
    """The lines of OMS's audit logs from that moment on; not those that a full disk has torn."""
    lines = []
    for text in (line for home in oms.homes for line in (home / "audit.log").read_text().splitlines()):
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(text))
    return [line for line in lines if line["time"] >= since]
