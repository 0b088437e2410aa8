"""Several callers at work on several machines while something goes wrong, and the evidence of what was done."""

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from oms.contract.operation import Permission
from oms.server import admin
from oms.server.store import Store
from tests.hosts.history import Client, Evidence, Watcher, audit_lines, table, until
from tests.hosts.kvm_machines import disk_xml, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import PASSWORD, Caller, Stack
from tests.hosts.verdict import findings

CLIENTS = 5
LASTING = 5
DISPOSABLE = 10
MEMORY_MB = 40
AT_REST_SECONDS = 30.0


class Ordeal:
    """One OMS and one libvirtd, on which trouble is tried several times."""

    def __init__(self, oms: Stack, libvirtd: PrivateLibvirtd, watcher: Watcher) -> None:
        self.oms, self.libvirtd, self._watcher = oms, libvirtd, watcher
        self.killed_agents = 0
        seed = os.environ.get("OMS_TEST_SEED") or str(random.randrange(2**32))
        self.seed, self.random = seed, random.Random(seed)
        self._rounds = 0
        store = Store(f"sqlite:///{oms.directory / 'server' / 'oms.db'}")
        self._users = [f"client{number}" for number in range(CLIENTS)]
        for user in self._users:
            admin.add_user(store, user, Permission.OPERATOR, PASSWORD)
        store.close()

    def during(self, trouble: Callable[[], None]) -> Evidence:
        """Let the callers work from shortly before the trouble to shortly after it, until all is at rest."""
        self._rounds += 1
        self.killed_agents = 0
        before, disks = self._machines()
        lasting = [name for name in before if name not in disks]
        self._watcher.follow(list(before))
        began = time.time()
        clients = [
            Client(Caller(self.oms.port).log_in(user), user, lasting, list(disks), f"{self.seed}/{self._rounds}")
            for user in self._users
        ]
        for client in clients:
            client.start()
        try:
            time.sleep(1)
            trouble()
            time.sleep(1)
        finally:
            for client in clients:
                client.end.set()
            for client in clients:
                client.join()
        return self._evidence(clients, before, disks, began)

    def _machines(self) -> tuple[dict[str, int], dict[str, str]]:
        """New machines: by name the memory of each in MB, and the disks of the disposable ones."""
        lasting = [f"r{self._rounds}m{number}" for number in range(LASTING)]
        disks = {f"r{self._rounds}d{number}": f"r{self._rounds}d{number}.img" for number in range(DISPOSABLE)}
        with contextlib.closing(self.libvirtd.connect()) as connection:
            for name in lasting:
                connection.defineXML(small_xml(name, memory_mb=MEMORY_MB))
            for name, file in disks.items():
                path = self.oms.images / file
                path.write_bytes(b"\0" * 4096)
                connection.defineXML(small_xml(name, memory_mb=MEMORY_MB, devices=disk_xml(path)))
        return dict.fromkeys([*lasting, *disks], MEMORY_MB), disks

    def _evidence(
        self, clients: list[Client], before: dict[str, int], disks: dict[str, str], began: float
    ) -> Evidence:
        caller = self.oms.caller()
        self.oms.wait_for_host(caller)
        with contextlib.suppress(AssertionError):  # what does not come to rest is a finding of its own
            until(lambda: not caller.task("list_tasks", "unfinished"), "", AT_REST_SECONDS)
        self._watcher.catch_up()
        moment = datetime.fromtimestamp(began, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        mine = before.keys()
        listed: dict[str, dict[str, Any]] = caller.kvm("list_vms_status")
        evidence = Evidence(
            calls=[call for client in clients for call in client.calls],
            audit=audit_lines(self.oms, moment),
            rows=table(self.oms.directory / "server" / "oms.db", "jobs", began),
            entries=table(self.oms.directory / "agent" / "journal.db", "jobs", began),
            effects={name: self._watcher.effects.get(name, "") for name in mine},
            before=before,
            machines=self._found(mine),
            listed={name: state for name, state in listed.items() if name in mine},
            disks=disks,
            files=set(_below(self.oms.images)),
            killed_agents=self.killed_agents,
        )
        caller.close()
        self._clear()
        return evidence

    def _found(self, names: Any) -> dict[str, tuple[bool, int]]:
        with contextlib.closing(self.libvirtd.connect()) as connection:
            return {
                domain.name(): (bool(domain.isActive()), _kept_memory_kb(domain))
                for domain in connection.listAllDomains()
                if domain.name() in names
            }

    def _clear(self) -> None:
        with contextlib.closing(self.libvirtd.connect()) as connection:
            for domain in connection.listAllDomains():
                with contextlib.suppress(libvirt.libvirtError):  # a machine that is stuck: the verdict has seen it
                    if domain.isActive():
                        domain.destroy()
                with contextlib.suppress(libvirt.libvirtError):
                    domain.undefine()
        for path in self.oms.images.iterdir():
            if path.is_file():
                path.unlink()

    def judge(self, evidence: Evidence) -> None:
        """Fails with every finding; `OMS_TEST_SEED` repeats the choices, though not the moments."""
        told = [call.told for call in evidence.calls]
        numbers = ", ".join(f"{told.count(kind)} {kind}" for kind in ("done", "error", "unknown", "silence"))
        found = findings(evidence)
        assert not found, "\n".join((f"seed {self.seed}; {len(evidence.rows)} jobs, {numbers}", *found[:40]))


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
