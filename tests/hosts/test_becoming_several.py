"""A fleet that began on one machine goes over to PostgreSQL and a cluster, as docs/scaling.md says it does."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms.bus.nats.supervisor import find_binary
from oms.server.store import Store, audit
from tests.free_port import free_port
from tests.hosts.history import table
from tests.hosts.kvm_machines import emptied, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.stack import NAME, NO_ANSWER, Caller, CallFailed, Stack
from tests.server import postgresql
from tests.waiting import until

pytestmark = pytest.mark.hosts
NODES = ("b1", "b2", "b3")


class Growing(Stack):
    """One server at first."""

    def set(self, **settings: str) -> None:
        """From the next start of a server on."""
        self._environment |= {f"OMS_{name.upper()}": value for name, value in settings.items()}

    def admin(self, *words: str) -> None:
        """`oms admin ...`"""
        command = [sys.executable, "-m", "oms", "admin", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def restart(self) -> None:
        self.end("server")
        self.start("server")
        self.wait_for_server()

    def end(self, name: str) -> None:
        self.kill(name, signal.SIGTERM)
        self.processes[name].wait(60)

    def node(self, name: str) -> None:
        """Start it when its port is free, as the unit does."""

        def runs() -> bool:
            with (self._logs / f"{name}.log").open("ab") as log:
                command = [str(find_binary(None)), "-c", str(self.directory / name / "nats.conf")]
                self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.processes[name].wait(1)
            return self.processes[name].poll() is None

        until(runs)

    def second(self) -> Caller:
        """Another server, and a client of it."""
        port = free_port()
        self._others["s2"] = {
            "OMS_DATA": str(self.directory / "s2"),
            "OMS_SIGNER_SOCKET": str(self.directory / "run" / "signer.sock"),
            "OMS_LISTEN": f"127.0.0.1:{port}",
            "OMS_CONSOLES_LISTEN": f"127.0.0.1:{free_port()}",
        }
        self.start("s2")
        self._second = port
        self.wait_for_server("s2")
        return Caller(port)

    def port_of(self, server: str) -> int:
        return self._second if server == "s2" else self.port

    def _arguments(self, name: str) -> list[str]:
        return ["server"] if name == "s2" else super()._arguments(name)

    def place(self) -> dict[str, Any]:
        """What the host keeps of where its OMS is."""
        found: dict[str, Any] = json.loads((self.directory / "agent" / "current" / "place.json").read_text())
        return found


@pytest.fixture
def oms(libvirtd: PrivateLibvirtd, tmp_path: Path) -> Iterator[Growing]:
    running = Growing(tmp_path / "oms", libvirtd.uri)
    with running:
        yield running


@pytest.mark.parametrize("first_node", ["at the old address", "elsewhere"])
def test_hosts_sessions_jobs_and_the_audit_log_go_over_by_themselves(
    oms: Growing, libvirtd: PrivateLibvirtd, first_node: str
) -> None:
    with (
        postgresql.running("fsync=on") as cluster,
        emptied(libvirtd.uri) as virt,
        contextlib.closing(oms.caller()) as caller,
    ):
        for name in ("before", "meanwhile"):
            virt.defineXML(small_xml(name))
        assert caller.kvm("start_vm", "before") == 0
        key = (oms.directory / "agent" / "key.pem").read_bytes()
        place, old = oms.place(), oms.database
        new = cluster.made()
        under_way = into_postgresql(oms, caller, new)
        assert caller.task("wait_task", under_way, 60)["state"] == "done"
        buses = onto_a_cluster(oms, caller, oms.bus_port if first_node == "at the old address" else free_port())
        until(lambda: (oms.place()["bus"], *oms.place()["more_buses"]) == buses)
        assert oms.place() | {"bus": "", "more_buses": []} == place | {"bus": "", "more_buses": []}
        assert (oms.directory / "agent" / "key.pem").read_bytes() == key
        with contextlib.closing(oms.second()) as other:
            other.sessid = caller.sessid
            assert other.func("list_requests") == []
            assert [host["name"] for host in other.func("list_signed")] == [NAME]
            until(lambda: listed(other) == {"before": "running", "meanwhile": "running"})
            oms.kill("b1")
            until(lambda: listed(other) == {"before": "running", "meanwhile": "running"})
            other.tag("add_tag", "grown", NAME)
            done = [(task["method"], task["target"], task["state"]) for task in other.task("list_tasks")]
            assert sorted(done) == [("kvmservices.start_vm", name, "done") for name in ("before", "meanwhile")]
        assert [entry["runs"] for entry in table(oms.directory / "agent" / "journal.db", "jobs", 0)] == [1, 1]
        rows = [verified(url) for url in (old, new)]
        assert rows[1] > rows[0] > 0


def into_postgresql(oms: Growing, caller: Caller, url: str) -> str:
    """Step 1, in the midst of a job; its id."""
    with oms.hung("agent"), contextlib.closing(oms.caller()) as asking:
        asked = threading.Thread(target=unanswered, args=(asking,))
        asked.start()
        until(lambda: caller.task("list_tasks", "unfinished"))
        (task,) = caller.task("list_tasks", "unfinished")
        oms.end("server")
        asked.join()
        oms.admin("migrate-database", "--from", oms.database, "--to", url)
        oms.set(database=url)
        oms.start("server")
        oms.wait_for_server()
    under_way: str = task["id"]
    return under_way


def unanswered(caller: Caller) -> None:
    with contextlib.suppress(CallFailed, *NO_ANSWER):
        caller.kvm("start_vm", "meanwhile")


def onto_a_cluster(oms: Growing, caller: Caller, first: int) -> tuple[str, ...]:
    """Steps 2 and 3; the addresses of the nodes."""
    ports = {name: free_port() for name in NODES} | {"b1": first}
    routes = {name: f"127.0.0.1:{free_port()}" for name in NODES}
    every = [word for route in routes.values() for word in ("--route", route)]
    for name in NODES:
        home = str(oms.directory / name)
        where = ("--listen", f"127.0.0.1:{ports[name]}", "--cluster-listen", routes[name])
        oms.admin("bus-node", name, "127.0.0.1", "--to", home, "--home", home, *where, *every)
    for name in NODES[1:]:
        oms.node(name)
    buses = tuple(f"127.0.0.1:{port}" for port in ports.values())
    oms.set(nats=",".join(f"tls://{bus}" for bus in buses))
    oms.restart()
    assert "nats-server is ended: the bus is elsewhere now" in oms.log("server")
    oms.node("b1")
    oms.wait_for_host(caller)
    return buses


def listed(caller: Caller) -> dict[str, str]:
    with contextlib.suppress(CallFailed):
        return {name: status["state"] for name, status in caller.kvm("list_vms_status").items()}
    return {}


def verified(url: str) -> int:
    """The rows of the audit log there, none of which is broken."""
    store = Store(url)
    verdict = store.transaction(audit.verify)
    store.close()
    assert not verdict.broken
    return verdict.rows
