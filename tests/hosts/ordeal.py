"""Several callers at work on several machines while something goes wrong, and the evidence of what was done."""

import contextlib
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from oms.contract.operation import Permission
from oms.server import admin
from oms.server.store import Store
from tests.hosts.history import Call, Client, Evidence, Question, Watcher, audit_lines, job_rows, table
from tests.hosts.kvm_machines import disk_xml, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import NAME, NO_ANSWER, PASSWORD, START_S, Caller, CallFailed, HastyStack, Stack
from tests.hosts.verdict import findings
from tests.small_disk import SmallDisk
from tests.waiting import until

OTHER = "node2"
CLIENTS = 5
LASTING, DISPOSABLE, APART = 5, 10, 2
MEMORY_MB = 40
DISKS_MB = {"server": 64, "agent": 16}
AT_REST_SECONDS = 30.0
BEFORE_SECONDS, AFTER_SECONDS = 1.0, 0.5


@contextlib.contextmanager
def prepared(root: Path) -> Iterator["Ordeal"]:
    """A hasty OMS with two hosts; what its server and the agent of the first keep lies on small disks."""
    with contextlib.ExitStack() as parts:
        calls_are_logged = {"log_filters": "1:remote"}
        libvirtd = parts.enter_context(PrivateLibvirtd(root / "virt", **calls_are_logged))
        other = parts.enter_context(PrivateLibvirtd(root / "virt2"))
        watcher = parts.enter_context(Watcher(libvirtd))
        disks = {
            name: parts.enter_context(SmallDisk(root / "oms" / name, size_mb))
            for name, size_mb in DISKS_MB.items()
        }
        oms = parts.enter_context(HastyStack(root / "oms", libvirtd.uri))
        oms.join(OTHER, libvirt_uri=other.uri)
        with contextlib.closing(other.connect()) as connection:
            connection.defineXML(small_xml("elsewhere"))
        yield Ordeal(oms, libvirtd, watcher, disks)


class Ordeal:
    """One OMS on which trouble is tried several times.

    The callers' machines are on its first host. What goes wrong with that host is no business of the second, which
    has one machine, `elsewhere`.
    """

    def __init__(
        self, oms: Stack, libvirtd: PrivateLibvirtd, watcher: Watcher, disks: dict[str, SmallDisk]
    ) -> None:
        self.oms, self.libvirtd, self.disks = oms, libvirtd, disks
        self.apart: list[str] = []
        """Machines of this round that are left to `beside`."""
        self._watcher = watcher
        seed = os.environ.get("OMS_TEST_SEED") or str(random.randrange(2**32))
        self.seed, self.random = seed, random.Random(seed)
        self._rounds = 0
        self._killed: Counter[str] = Counter()
        self._beside: list[Question] = []
        self._began = 0.0
        self._users = [f"client{number}" for number in range(CLIENTS + 1)]
        store = Store(oms.database)
        for user in self._users:
            admin.add_user(store, user, Permission.OPERATOR, PASSWORD)
        store.close()

    def during(self, trouble: Callable[[], None]) -> Evidence:
        """Let the callers work from shortly before the trouble to shortly after it, until all is at rest."""
        self._rounds += 1
        self._killed.clear()
        self._beside.clear()
        self.oms.wait_for_server()
        try:
            return self._worked(trouble)
        finally:
            self._clear()

    def _worked(self, trouble: Callable[[], None]) -> Evidence:
        before, disks = self._machines()
        lasting = [name for name in before if name not in disks and name not in self.apart]
        self._watcher.follow(list(before))
        self._began = time.time()
        clients = [
            Client(self._caller(user), user, lasting, list(disks), f"{self.seed}/{self._rounds}")
            for user in self._users[:CLIENTS]
        ]
        for client in clients:
            client.start()
        try:
            time.sleep(BEFORE_SECONDS)
            trouble()
            time.sleep(AFTER_SECONDS)
        finally:
            for client in clients:
                client.end.set()
            for client in clients:
                client.join()
        return self._evidence(clients, before, disks)

    def beside(self, method: str, machine: str) -> Question:
        """Make one call of our own meanwhile, one at a time."""
        user = self._users[CLIENTS]
        question = Question(self._caller(user), Call(user, method, machine, {}, time.time()))
        self._beside.append(question)
        return question

    @contextlib.contextmanager
    def machine(self, name: str) -> Iterator[str]:
        """A machine on the first host, defined and removed by somebody else than OMS."""
        with contextlib.closing(self.libvirtd.connect()) as connection:
            domain = connection.defineXML(small_xml(name))
            try:
                yield name
            finally:
                if domain.isActive():
                    domain.destroy()
                domain.undefine()

    def how_many(self) -> int:
        """The machines of the first host, by its libvirtd."""
        with contextlib.closing(self.libvirtd.connect()) as connection:
            return len(connection.listAllDomains())

    def kill(self, part: str) -> None:
        """Kill a part of OMS, or libvirtd, which is started again after a while."""
        self._killed[part] += 1
        if part == "libvirtd":
            self.libvirtd.kill()
            time.sleep(self.random.uniform(0, 0.5))
            self.libvirtd.start()
        else:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):  # just being started
                self.oms.kill(part, signal.SIGKILL)

    def works(self, jobs: int) -> None:
        """Returns when the first host answers through OMS, and so many more jobs of the callers are done."""
        until(self._answers, "OMS does not work again", START_S)
        before = self._done()
        until(lambda: self._done() >= before + jobs, "no jobs are done any more", START_S)

    def _answers(self) -> bool:
        try:
            with contextlib.closing(self._caller(self._users[CLIENTS])) as caller:
                caller.kvm("list_vms_status")
        except (CallFailed, *NO_ANSWER):
            return False
        return True

    def _done(self) -> int:
        return sum(row["state"] == "done" for row in self._rows())

    def _caller(self, user: str) -> Caller:
        return self.oms.caller(user=user)

    def _machines(self) -> tuple[dict[str, int], dict[str, str]]:
        """New machines: by name the memory of each in MB, and the disks of the disposable ones."""
        front = f"r{self._rounds}"
        self.apart = [f"{front}a{number}" for number in range(APART)]
        diskless = [*self.apart, *(f"{front}m{number}" for number in range(LASTING))]
        disks = {f"{front}d{number}": f"{front}d{number}.img" for number in range(DISPOSABLE)}
        with contextlib.closing(self.libvirtd.connect()) as connection:
            for name in diskless:
                connection.defineXML(small_xml(name, memory_mb=MEMORY_MB))
            for name, file in disks.items():
                path = self.oms.images / file
                path.write_bytes(b"\0" * 4096)
                connection.defineXML(small_xml(name, memory_mb=MEMORY_MB, devices=disk_xml(path)))
        return dict.fromkeys([*diskless, *disks], MEMORY_MB), disks

    def entries(self, machine: str = "") -> list[dict[str, Any]]:
        """What stands in the agent's journal of this round: of one machine, or all."""
        entries = table(self.oms.directory / "agent" / "journal.db", "jobs", self._began)
        return [entry for entry in entries if machine in ("", entry["lane"].partition("/")[2])]

    def _rows(self) -> list[dict[str, Any]]:
        return job_rows(self.oms, self._began)

    def processes(self) -> dict[str, int]:
        """How many processes each machine has."""
        words = (word for words in self.libvirtd.processes().values() for word in words)
        return Counter(found[1] for word in words if (found := re.match("guest=([^,]+),", word)))

    def _evidence(self, clients: list[Client], before: dict[str, int], disks: dict[str, str]) -> Evidence:
        asked = [question.answer() for question in self._beside]
        self.oms.wait_for_server()  # killed at last, it may still be starting
        with contextlib.closing(self.oms.caller()) as caller:
            self.oms.wait_for_host(caller)
            with contextlib.suppress(AssertionError):  # what does not come to rest is a finding of its own
                until(lambda: not caller.task("list_tasks", "unfinished"), "", AT_REST_SECONDS)
            self._watcher.catch_up()
            moment = (
                datetime.fromtimestamp(self._began, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            )
            mine = before.keys()
            listed: dict[str, dict[str, Any]] = caller.kvm("list_vms_status")
            machines = self._found(mine)
            return Evidence(
                calls=[*asked, *(call for client in clients for call in client.calls)],
                audit=audit_lines(self.oms, moment),
                rows=[row for row in self._rows() if row["host"] == NAME],
                entries=self.entries(),
                effects={name: self._watcher.effects.get(name, "") for name in mine},
                before=before,
                machines=machines,
                listed={name: state for name, state in listed.items() if name in mine},
                processes=self.processes(),
                held=dict(_held(caller, machines)),
                disks=disks,
                files=set(_below(self.oms.images)),
                killed=dict(self._killed),
            )

    def _found(self, names: Iterable[str]) -> dict[str, tuple[bool, int]]:
        with contextlib.closing(self.libvirtd.connect()) as connection:
            return {
                domain.name(): (bool(domain.isActive()), _kept_memory_kb(domain))
                for domain in connection.listAllDomains()
                if domain.name() in names
            }

    def _clear(self) -> None:
        with contextlib.closing(self.libvirtd.connect()) as connection:
            for domain in connection.listAllDomains():
                if domain.isActive():
                    domain.destroy()
                domain.undefine()
        for path in self.oms.images.iterdir():
            if path.is_file():
                path.unlink()

    def judge(self, evidence: Evidence) -> None:
        """Fails with every finding; `OMS_TEST_SEED` repeats the choices, though not the moments."""
        numbers = ", ".join(
            f"{len(evidence.told(kind))} {kind}" for kind in ("done", "error", "unknown", "silence")
        )
        found = findings(evidence)
        assert not found, "\n".join((f"seed {self.seed}; {len(evidence.rows)} jobs, {numbers}", *found[:40]))


def _held(caller: Caller, machines: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for machine in machines:
        try:
            caller.kvm("update_vm_settings", machine, {"memory": str(MEMORY_MB)})
        except CallFailed as failure:
            yield machine, str(failure)


def _kept_memory_kb(domain: Any) -> int:
    xml = ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    return int(xml.findtext("currentMemory") or xml.findtext("memory") or 0)


def _below(directory: Path) -> Iterator[str]:
    """Every file below, and every directory of a job that was not cleared away."""
    for path in directory.rglob("*"):
        if path.is_file() or path.parent.name == ".staging":
            yield str(path.relative_to(directory))


def left_behind(directory: Path) -> list[str]:
    """Processes that have anything to do with a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if str(directory).encode() in text:
                    found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()[:200]!r}")
    return found
