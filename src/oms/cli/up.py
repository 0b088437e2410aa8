"""`oms up`: this very machine, served by one foreground process tree.

Starts the signer, the server (which starts the bus) and the agent, restarts what dies, and lets in the one agent
that it started itself, known by its key. Ends them all, the last first, when it is told to end.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import functools
import hashlib
import os
import pwd
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
import typer

from oms.bus import enrolment, pinning
from oms.cli import logs, own_sshd, serve
from oms.contract.errors import OmsError
from oms.server import admin, identity
from oms.server.ca.client import SignerClient, SignerError
from oms.server.ca.protocol import Trust
from oms.server.config import ServerConfig
from oms.server.enrol import Signer
from oms.server.main import CannotServe, bind, ours, said
from oms.server.store import Store, hosts, now
from oms.settings import address, joined

log = structlog.get_logger("oms.up")
PATIENCE_SECONDS = 60
LEFT_BEHIND_SECONDS = 5
RESTART_SECONDS = (0.2, 10.0)
END_SECONDS = 15
"""For a process that is told to end; one that hangs is killed then."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on
OMS = (sys.executable, "-m", "oms")
MACHINES = {
    "kvm": "run by KVM",
    "qemu": 'are emulated, which is slow: "how machines are run here", above, says why',
    "": "cannot run yet: see above",
}
"""What is said of machines here, by how the agent runs them."""
T = TypeVar("T")
_PR_SET_PDEATHSIG = 1


def run(file: Path | None, **flags: Any) -> None:
    """Serve until told to end."""
    settings = _settings(file, flags)
    logs.set_up(settings.log_format, "warning")
    try:
        with _alone(settings.data):
            asyncio.run(Machine(settings, file).serve())
    except CannotServe as reason:
        print(f"oms up: {reason}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        pass


def _settings(file: Path | None, flags: Mapping[str, Any]) -> ServerConfig:
    """The server's, with the defaults of one machine that is served from a terminal."""
    own = {
        "data": _data(),
        "listen": "127.0.0.1:8000",
        "keep_bus": False,
        "log_format": "console" if sys.stderr.isatty() else "json",
    }
    host = address(serve.settings(file, flags, own).listen)[0]
    return serve.settings(file, flags, {**own, "bus_listen": joined(host, 4222)})


def _data() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/oms")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "oms"


@contextlib.contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Two of us on one data directory would undo each other's work."""
    with said(), contextlib.ExitStack() as held:
        data.mkdir(mode=0o711, parents=True, exist_ok=True)
        ours(data)
        run = data / "run"
        run.mkdir(mode=0o755, exist_ok=True)
        lock = held.enter_context((run / "up.lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotServe(f"{data} is being served already: end that, or give another --data.") from None
        yield


class Child:
    """A process of ours that is started again when it ends by itself."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self._arguments = command
        inherited = {name: value for name, value in os.environ.items() if name != "OMS_ADMIN_PASSWORD"}
        self._environment = {**inherited, **environment}
        self._process: Process | None = None
        self.ended = asyncio.Event()
        """Set when it has ended by itself, be it started again or not."""

    async def keep(self) -> None:
        """Run it for ever; cancelling this ends it."""
        delay = RESTART_SECONDS[0]
        try:
            while True:
                began = asyncio.get_running_loop().time()
                self._process = await asyncio.create_subprocess_exec(
                    *self._arguments,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    preexec_fn=functools.partial(_die_with_parent, os.getpid()),
                    start_new_session=True,  # Ctrl-C is ours to pass on, in the right order
                )
                code = await self._process.wait()
                self.ended.set()
                lived = asyncio.get_running_loop().time() - began
                delay = RESTART_SECONDS[0] if lived > 30 else min(delay * 2, RESTART_SECONDS[1])
                await asyncio.sleep(delay)
                log.error("a process of OMS ended and is started again", process=self.name, exit_code=code)
        finally:
            await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        ended = asyncio.ensure_future(process.wait())
        # Not asyncio.timeout: up to Python 3.11.2 it raises nothing of its own in a task that is being cancelled.
        await asyncio.wait((ended,), timeout=END_SECONDS)
        if not ended.done():
            process.kill()
        await ended


async def _ready(child: Child, answer: Coroutine[Any, Any, T]) -> T:
    """Its first answer. Raises CannotServe where it ends instead, or gives none in time."""
    answering, ending = asyncio.ensure_future(answer), asyncio.create_task(child.ended.wait())
    try:
        await asyncio.wait((answering, ending), timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        raise CannotServe(f"The {child.name} did not start: what it said stands above.")
    except SignerError as failure:
        raise CannotServe(f"The signer did not start: {failure}") from failure
    finally:
        answering.cancel()
        ending.cancel()


def _domain_type(host: hosts.Host | None) -> str:
    """How a host runs machines, by its own word."""
    return str(msgspec.json.decode(host.facts).get("kvm_domain_type", "")) if host else ""


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)  # it has ended in this very moment


class Machine:
    """This machine: its processes, and its own host among the signed ones."""

    def __init__(self, settings: ServerConfig, file: Path | None) -> None:
        self._settings = settings
        self._signer = SignerClient(settings.signer, patience=PATIENCE_SECONDS)
        self._tasks: list[asyncio.Task[None]] = []
        self._untold = ""
        """The first login, as long as nobody was shown it."""
        same = {
            "OMS_DATA": str(settings.data),
            "OMS_LISTEN": settings.listen,
            "OMS_BUS_LISTEN": settings.bus_listen,
            "OMS_KEEP_BUS": str(settings.keep_bus),
            "OMS_LOG_FORMAT": settings.log_format,
        }
        for name in ("tls_certificate", "tls_key", "tls_ca"):
            if value := getattr(settings, name):
                same[f"OMS_{name.upper()}"] = str(value)
        self._environment = same
        self._file = ["--config", str(file)] if file else []

    async def serve(self) -> None:
        """Start everything, say so, and stay until told to end."""
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, told.set)
        starting = asyncio.create_task(self._start())
        try:
            await asyncio.wait((starting, asyncio.ensure_future(told.wait())), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await told.wait()
        finally:
            starting.cancel()
            await self._stop()
            if self._untold:
                print(f"The first login, for the next start: {self._untold}", flush=True)

    async def _stop(self) -> None:
        for task in reversed(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _start(self) -> None:
        await self._address_free()
        await asyncio.to_thread(self._prepare)
        signer = self._spawn("signer", self._signer_arguments())
        server = self._spawn("server", ["server", *self._file])
        trust = await _ready(signer, self._signer.ca())
        fingerprint = self._fingerprint(trust)
        self._ssh_server()
        agent = self._spawn("agent", self._agent_arguments(fingerprint))
        await _ready(server, self._answering())
        self._say(fingerprint, await self._own_host(agent))

    def _ssh_server(self) -> None:
        """Consoles come by SSH: where this machine serves none, one of ours does, on loopback."""
        if own_sshd.is_wanted(os.environ, configured=bool(self._file)):
            with said():
                command, told = own_sshd.prepared(self._settings.data / "sshd")
            self._environment |= told
            self._keep("SSH server", command)

    def _fingerprint(self, trust: Trust) -> str:
        """Of the CA by which agents know the server."""
        with said():
            given = identity.given(self._settings)
        return pinning.sha256(given[1]) if given else trust.server_ca_sha256

    async def _address_free(self) -> None:
        """What a run that was killed left behind goes by itself; whoever else listens there stays."""
        end = asyncio.get_running_loop().time() + LEFT_BEHIND_SECONDS
        while True:
            try:
                bind(self._settings.listen).close()
            except CannotServe:
                if asyncio.get_running_loop().time() > end:
                    raise
                await asyncio.sleep(0.2)
            else:
                return

    def _prepare(self) -> None:
        with said():
            for directory in (self._settings.home, self._settings.data / "signer"):
                directory.mkdir(mode=0o700, exist_ok=True)
            store = Store(self._settings.database_url)
            try:
                store.migrate()
                if password := admin.first_user(store, os.environ.get("OMS_ADMIN_PASSWORD")):
                    self._untold = f"{admin.FIRST} / {password}   (shown this once; to be changed first)"
            finally:
                store.close()

    def _signer_arguments(self) -> list[str]:
        arguments = ["signer", "--directory", str(self._settings.data / "signer")]
        arguments += ["--socket", str(self._settings.signer)]
        try:
            if os.geteuid() == 0:
                arguments += ["--user", pwd.getpwnam("oms-ca").pw_name]
        except KeyError:
            pass
        return arguments

    def _agent_arguments(self, fingerprint: str) -> list[str]:
        host, port = address(self._settings.listen)
        reach = EVERYWHERE.get(host, host)
        url = f"https://{joined(reach, port)}"
        return [
            "agent",
            "--server",
            url,
            "--ca-sha256",
            fingerprint,
            "--data",
            str(self._settings.data),
            *self._file,
        ]

    def _spawn(self, name: str, arguments: list[str]) -> Child:
        return self._keep(name, [*OMS, *arguments])

    def _keep(self, name: str, command: list[str]) -> Child:
        child = Child(name, command, self._environment)
        self._tasks.append(asyncio.create_task(child.keep()))
        return child

    async def _answering(self) -> None:
        """Wait until the server serves."""
        host, port = address(self._settings.listen)
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                _, writer = await asyncio.open_connection(host, port, ssl=pinning.unverified())
                writer.close()
                return
            await asyncio.sleep(0.1)

    async def _own_host(self, agent: Child) -> hosts.Host | None:
        """Wait for our own agent's request and sign it, known by its key, whatever its name is; then wait until it
        is connected."""
        store, began = Store(self._settings.database_url), now()
        try:
            for _ in range(PATIENCE_SECONDS * 5):
                await asyncio.sleep(0.2)
                if agent.ended.is_set():
                    break
                if host := await self._signed_in(store, began):
                    return host
        except (OmsError, OSError, ValueError) as failure:
            log.warning("this machine could not be signed in as a host", failure=str(failure))
        finally:
            store.close()
        return None

    async def _signed_in(self, store: Store, began: float) -> hosts.Host | None:
        key_file = self._settings.data / "agent" / "key.pem"
        if not key_file.exists():
            return None
        key = hashlib.sha256(enrolment.public_key(key_file.read_bytes())).hexdigest()
        host, request = await store.read(lambda tx: (hosts.by_key(tx, key), hosts.request_by_key(tx, key)))
        if request and not host:
            await Signer(store, self._signer, self._settings.certificate_days).sign(request, "(oms up)")
        return host if host and host.last_seen >= began else None

    def _say(self, fingerprint: str, host: hosts.Host | None) -> None:
        name, port = address(self._settings.listen)
        if name in EVERYWHERE:
            name = socket.gethostname().lower()
        url = f"https://{joined(name, port)}"
        login = self._untold or "as you set it up"
        if os.environ.get("OMS_ADMIN_PASSWORD"):
            login = f"{admin.FIRST}, with the password of OMS_ADMIN_PASSWORD if this was the first start"
        others = f"oms agent --server {url} --ca-sha256 {fingerprint}   (then sign it here)"
        if name in ("localhost", "::1") or name.startswith("127."):
            others = f"cannot reach it here: --listen 0.0.0.0:{port} lets them"
        print(
            f"""
OpenNode Management Server is up.

  Address         {url}/
  First login     {login}
  This machine    {host.name if host else "is not connected yet: see above"}
  Its machines    {MACHINES[_domain_type(host)]}
  CA fingerprint  {fingerprint}
  Other hosts     {others}
  Data            {self._settings.data}

Ctrl-C ends it.
""",
            flush=True,
        )
        self._untold = ""
