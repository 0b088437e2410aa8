"""A whole server in one process: the real store, signer, pipeline and edge, over a wire that is a dict.

`Seed` is made once for a run: a migrated database with a user of each role, and a signer's keys. Each rig works on
a copy of its own, so that a test begins within milliseconds.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

import msgspec

from oms.bus import enrolment
from oms.bus.local import LocalBus, LocalServerWire
from oms.contract.operation import Operation, Permission
from oms.server import admin
from oms.server.assembly import assembled
from oms.server.ca import authority, signer
from oms.server.ca.client import SignerClient
from oms.server.ca.keystore import KeyStore
from oms.server.ca.protocol import Trust
from oms.server.config import ServerConfig
from oms.server.edge.http import Edge
from oms.server.edge.ports import MorePorts
from oms.server.sessions import digest
from oms.server.store import Store, sessions
from tests.server import asgi
from tests.server.agent import HostAgent
from tests.server.asgi import Reply
from tests.server.double import Does, HostDouble

PASSWORD = "correct horse battery staple"
ROLES = {"admin": Permission.ADMIN, "operator": Permission.OPERATOR, "viewer": Permission.VIEWER}
Verb = Literal["GET", "POST"]


@dataclass(frozen=True)
class Seed:
    """What every rig begins from."""

    folder: Path
    trust: Trust

    @classmethod
    def make(cls, folder: Path) -> Self:
        """The users `admin`, `operator`, `viewer`, each with PASSWORD, and both authorities."""
        (folder / "server").mkdir(parents=True)
        populate(f"sqlite:///{folder / 'server' / 'oms.db'}")
        with KeyStore(folder / "signer") as keys:
            made = keys.authorities(datetime.now(UTC))
        server, host = made.server.certificate, made.host.certificate
        trust = Trust(
            server_ca=authority.pem(server),
            server_ca_sha256=enrolment.fingerprint(server),
            host_ca=authority.pem(host),
            host_ca_sha256=enrolment.fingerprint(host),
        )
        return cls(folder, trust)


def populate(url: str) -> None:
    """Make a database one that every rig can begin from."""
    store = Store(url)
    store.migrate()
    for name, role in ROLES.items():
        admin.add_user(store, name, role, PASSWORD)
    store.close()


class CallError(Exception):
    """A call was answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['name']}: {error['message']}")
        self.error = error
        self.name: str = error["name"]
        self.message: str = error["message"]
        self.data: dict[str, Any] = error["data"]


class HeardWire(LocalServerWire):
    """OMS's end of the bus, which remembers what was asked of hosts."""

    def __init__(self, bus: LocalBus, sent: list[tuple[str, str]]) -> None:
        super().__init__(bus)
        self._sent = sent

    async def request(
        self, host_id: str, verb: str, payload: bytes, timeout: float, *, harmless: bool = False
    ) -> bytes:
        self._sent.append((host_id, verb))
        return await super().request(host_id, verb, payload, timeout)


class Oms:
    """One server. `edge` is its address; `bus` joins it with hosts; `store` is its database."""

    edge: Edge
    store: Store

    def __init__(self, seed: Seed, folder: Path, **settings: Any) -> None:
        self.seed, self.folder = seed, folder
        shutil.copytree(seed.folder, folder, dirs_exist_ok=True)
        self.config = ServerConfig(data=folder, **{"login_delay": 0.01, **settings})
        self.bus = LocalBus()
        self.sent: list[tuple[str, str]] = []
        """(host id, verb) of everything that was sent to hosts, greetings included."""
        self.hosts: list[HostAgent | HostDouble] = []
        self._signer = contextlib.AsyncExitStack()
        self._server = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._signer.enter_async_context(signing(self.folder / "signer", self.config.signer))
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for host in self.hosts:
            await host.close()
        await self.stop()
        await self.stop_signer()

    async def start(self) -> None:
        """Begin to serve: the next start of the same server."""
        self.store = Store(self.config.database_url)
        self._server.callback(self.store.close)
        self.bus.server = HeardWire(self.bus, self.sent)
        trust = self.seed.trust
        self.edge = await self._server.enter_async_context(
            assembled(
                self.config,
                self.store,
                self.bus.server,
                signer=SignerClient(self.config.signer, patience=1),
                trust=trust,
                ca=(trust.server_ca, trust.server_ca_sha256),
                ports=MorePorts("127.0.0.1"),
            )
        )

    async def stop(self) -> None:
        """Serve no more; the hosts stay on the bus."""
        await self._server.aclose()
        self.bus.server = LocalServerWire(self.bus)

    async def stop_signer(self) -> None:
        """Let the signer end."""
        await self._signer.aclose()

    async def restart(self) -> None:
        """A server that is started anew on the same data, while its hosts stay."""
        await self.stop()
        await self.start()

    # --- calls

    async def request(self, verb: str, target: str, **more: Any) -> Reply:
        """Any request; see `asgi.send`."""
        return await asgi.send(self.edge, verb, target, **more)

    async def call(self, method: str, *params: Any, by: Verb = "POST", **more: Any) -> dict[str, Any]:
        """A call in the dialect of 2011, `method` as `service.method`; the whole answer."""
        reply = await self.reply(method, list(params), by=by, **more)
        assert reply.status == 200, reply
        answer: dict[str, Any] = reply.json
        assert set(answer) == {"error", "id", "result"}
        assert answer["id"] == 7
        return answer

    async def reply(self, method: str, params: Any, *, by: Verb = "POST", **more: Any) -> Reply:
        """The same with the HTTP around it, and whatever stands for the parameters."""
        service, _, name = method.rpartition(".")
        if by == "POST":
            body = msgspec.json.encode({"service": service, "method": name, "id": 7, "params": params})
            return await self.request("POST", "/", body=body, **more)
        written = quote(msgspec.json.encode(params).decode())
        return await self.request(
            "GET", f"/?id=7&service={quote(service)}&method={quote(name)}&params={written}", **more
        )

    async def login(self, name: str, password: str = PASSWORD, **more: Any) -> str:
        """The SESSID of a login over the wire. Raises CallError."""
        sessid: str = _result(await self.call("authservices.authenticate", name, password, **more))["result"]
        return sessid

    async def as_user(self, name: str) -> "Person":
        """A session that was not logged in for: begins at once."""
        sessid = os.urandom(20).hex().upper()
        await self.store.write(lambda tx: sessions.add(tx, digest(sessid), name, asgi.ADDRESS))
        return Person(self, sessid)

    async def as_admin(self) -> "Person":
        """Somebody who may do everything."""
        return await self.as_user("admin")

    async def as_operator(self) -> "Person":
        """Somebody who may change guests."""
        return await self.as_user("operator")

    async def as_viewer(self) -> "Person":
        """Somebody who may read."""
        return await self.as_user("viewer")

    # --- hosts

    async def enrol(self, name: str, key: bytes | None = None, address: str = "192.0.2.20") -> Reply:
        """Ask for a place with a real CSR, as a host does before it has one."""
        csr = enrolment.make_csr(key or enrolment.make_key(), name)
        facts = {"version": "1.0", "hypervisors": ["kvm"], "architecture": "x86_64", "distribution": "debian 12"}
        body = msgspec.json.encode({"csr": csr, "facts": facts})
        return await self.request("POST", "/enrol", body=body, address=address)

    async def signed(self, name: str) -> str:
        """The id of a host that asked and was signed by an administrator; it is not connected yet."""
        key = enrolment.make_key()
        assert (await self.enrol(name, key)).json["state"] == "waiting"
        await (await self.as_admin()).ask("funcservices.sign_requests", 0, [name])
        answer = (await self.enrol(name, key)).json
        assert answer["state"] == "signed"
        host_id: str = answer["host_id"]
        return host_id

    async def sign_in_host(self, name: str = "h1", does: Does | None = None) -> HostAgent:
        """A signed host with an honest agent, connected."""
        host = await HostAgent.start(
            self.bus, await self.signed(name), name, does or {}, self.folder / f"host-{name}"
        )
        self.hosts.append(host)
        return host

    async def sign_in_double(self, name: str = "h1", does: Does | None = None) -> HostDouble:
        """A signed host whose agent does as it is told, connected."""
        host = HostDouble(self.bus, await self.signed(name), name, does or {})
        self.hosts.append(host)
        return host

    # --- looking

    def audited(self) -> list[dict[str, Any]]:
        """The audit's lines."""
        lines = (self.config.home / "audit.log").read_bytes().splitlines()
        return [msgspec.json.decode(line) for line in lines]

    def changes_sent(self) -> list[tuple[str, str]]:
        """What was sent to hosts besides OMS's own words."""
        return [(host, verb) for host, verb in self.sent if not verb.startswith("agent.")]


@dataclass(frozen=True)
class Person:
    """Somebody with a session."""

    oms: Oms
    sessid: str

    async def answer(self, method: str, *params: Any, by: Verb = "POST", **more: Any) -> dict[str, Any]:
        """The typed answer (`type`, `result`, `as_of`) of a call with the SESSID in front. Raises CallError."""
        return _result(await self.oms.call(method, self.sessid, *params, by=by, **more))

    async def ask(self, method: str, *params: Any, **more: Any) -> Any:
        """The result alone."""
        return (await self.answer(method, *params, **more))["result"]

    async def error(self, method: str, *params: Any, **more: Any) -> CallError:
        """The error of a call that must not succeed."""
        try:
            answer = await self.answer(method, *params, **more)
        except CallError as error:
            return error
        raise AssertionError(f"{method} was answered: {answer}")


def _result(answer: Mapping[str, Any]) -> dict[str, Any]:
    if answer["error"] is not None:
        assert answer["result"] is None
        raise CallError(answer["error"])
    result: dict[str, Any] = answer["result"]
    assert set(result) == {"type", "result", "as_of"}
    return result


@contextlib.asynccontextmanager
async def signing(keys: Path, socket: Path) -> AsyncIterator[None]:
    """The signer, as a task of this process."""
    socket.parent.mkdir(exist_ok=True)
    with signer.listening(socket, os.getgid()) as listener:
        task = asyncio.create_task(signer.serve(keys, listener, frozenset({os.getuid()})))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def answering(value: Any) -> Callable[[Operation[Any]], Any]:
    """A host's handler that always gives the same answer."""

    async def answer(_op: Operation[Any]) -> Any:
        return value

    return answer
