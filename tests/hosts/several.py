"""Several OMS servers as real processes over one PostgreSQL and a cluster of three nats-servers, with a host."""

import asyncio
import contextlib
import http.client
import json
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from oms.bus.nats.supervisor import find_binary
from oms.server import busnode
from oms.server.ca.client import SignerClient
from oms.server.store import Store
from tests.free_port import free_port
from tests.hosts.stack import NAME, PASSWORD, Caller, Stack
from tests.server import postgresql

SERVERS = ("s1", "s2", "s3")
NODES = ("b1", "b2", "b3")
PATIENCE_S = 150.0


class Nobody(OSError):
    """No server took the connection."""


class Anywhere(Caller):
    """A client that knows all servers. Only where one does not take the connection it tries the next: what was
    sent once is never sent again."""

    def __init__(self, ports: list[int], timeout: float = 90) -> None:
        super().__init__(ports[0], timeout)
        self._ports = ports

    def raw(self, service: str, method: str, *params: Any) -> dict[str, Any]:
        body = json.dumps({"service": service, "method": method, "id": 1, "params": params})
        with contextlib.closing(self._connected()) as connection:
            connection.request("POST", "/", body, {"Content-Type": "application/json", "Connection": "close"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer

    def _connected(self) -> http.client.HTTPSConnection:
        self._ports.append(self._ports.pop(0))  # each call at another one
        for port in self._ports:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=self._timeout, context=self._context
            )
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                connection.connect()
                return connection
            connection.close()
        raise Nobody("no server takes a connection")


class Several(Stack):
    """`with several(directory, libvirt_uri) as oms:` has servers s1 to s3, nats-servers b1 to b3, and node1."""

    first_server = SERVERS[0]
    servers: ClassVar[tuple[str, ...]] = SERVERS
    nodes: ClassVar[tuple[str, ...]] = NODES
    last: tuple[str, ...] = (*NODES, "signer")

    def __init__(self, directory: Path, libvirt_uri: str, database: str, **agent_settings: str) -> None:
        super().__init__(directory, libvirt_uri, **agent_settings)
        self._database = database
        self.kill_database: Callable[[], None] = lambda: None
        """It is started again at once."""
        self.addresses = dict.fromkeys(self.servers, "127.0.0.1")
        self.ports = {name: free_port() for name in self.servers}
        self._buses = {name: (free_port(), free_port()) for name in self.nodes}
        nats = ",".join(f"tls://127.0.0.1:{port}" for port, _ in self._buses.values())
        run = directory / "run" / "signer.sock"
        self._environment |= {"OMS_DATABASE": database, "OMS_NATS": nats, "OMS_SIGNER_SOCKET": str(run)}
        for name, port in self.ports.items():
            self._others[name] = {
                "OMS_DATA": str(directory / name),
                "OMS_LISTEN": f"127.0.0.1:{port}",
                "OMS_CONSOLES_LISTEN": f"127.0.0.1:{free_port()}",
            }
        self.port = self.ports[self.first_server]

    @property
    def database(self) -> str:
        return self._database

    @property
    def homes(self) -> list[Path]:
        return [self.directory / name / "server" for name in self.servers]

    def __enter__(self) -> "Several":
        for part in ("run", "logs", "network"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        try:
            self.start("signer")
            self._make_nodes()
            for name in (*self.nodes, *self.servers):
                self.start(name)
            for name in self.servers:
                self.wait_for_server(name)
            self.start("agent")
            self.sign_in()
        except BaseException:
            self.close()
            raise
        return self

    def _make_nodes(self) -> None:
        """What `oms admin bus-node` does, without three more processes."""
        routes = tuple(f"127.0.0.1:{other}" for _, other in self._buses.values())
        signer = SignerClient(self.directory / "run" / "signer.sock", patience=60)
        store = Store(self.database)
        for name, (port, cluster_port) in self._buses.items():
            home = self.directory / name
            where = (f"127.0.0.1:{port}", f"127.0.0.1:{cluster_port}", routes)
            asyncio.run(busnode.write(busnode.Node((name, "127.0.0.1"), *where, home), home, store, signer))
        store.close()

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        if name not in self.nodes:
            return super().start(name)
        with (self._logs / f"{name}.log").open("ab") as log:
            command = [str(find_binary(None)), "-c", str(self.directory / name / "nats.conf")]
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.processes[name]

    def _program(self, name: str) -> tuple[str, ...]:
        return self.server_program if name in self.servers else ("-m", "oms")

    def _arguments(self, name: str) -> list[str]:
        return ["server"] if name in self.servers else super()._arguments(name)

    def caller(self, timeout: float = 90, user: str = "admin") -> Anywhere:
        return Anywhere(list(self.ports.values()), timeout).log_in(user)  # type: ignore[return-value]

    def at(self, name: str, user: str = "admin") -> Caller:
        """A client of one server."""
        return Caller(self.ports[name], address=self.addresses[name]).log_in(user)

    def _until(self, true: Any, otherwise: str, seconds: float = PATIENCE_S) -> None:
        """So many processes are started at once that each takes its time."""
        super()._until(true, otherwise, max(seconds, PATIENCE_S))

    def port_of(self, server: str) -> int:
        return self.ports[server]

    def address_of(self, server: str) -> str:
        return self.addresses[server]

    def again(self, name: str, number: int) -> None:
        """End a process by a signal, and start it anew."""
        os.kill(self.pid(name), number)
        self.processes[name].wait(60)
        self.start(name)
        if name in self.servers:
            self.wait_for_server(name)


@contextlib.contextmanager
def several(root: Path, libvirt_uri: str) -> Iterator[Several]:
    """All of it."""
    with postgresql.running("fsync=on") as cluster, Several(root, libvirt_uri, cluster.made()) as oms:
        oms.kill_database = cluster.killed
        yield oms


__all__ = ["NAME", "PASSWORD", "SERVERS", "Several", "several"]
