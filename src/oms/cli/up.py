"""`oms up`: this very machine, served by one foreground process tree.

Starts the signer, the server (which starts the bus) and the agent, in this order, restarts what dies, and lets
in the one agent that it started itself, known by its key. Ends them all when it is told to end.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import os
import pwd
import signal
import ssl
import sys
from asyncio.subprocess import Process
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
import typer

from oms.bus import enrolment
from oms.cli import logs, serve
from oms.contract.errors import OmsError
from oms.server import admin
from oms.server.ca.client import SignerClient, SignerError
from oms.server.config import ServerConfig, address
from oms.server.enrol import Signer
from oms.server.store import Store, hosts

log = structlog.get_logger("oms.up")
PATIENCE_SECONDS = 60
RESTART_SECONDS = (0.2, 10.0)
_PR_SET_PDEATHSIG = 1


class CannotStart(Exception):
    """Why this machine cannot be served."""


def run(file: Path | None, **flags: Any) -> None:
    """Serve until told to end."""
    flags["listen"] = flags.get("listen") or os.environ.get("OMS_LISTEN") or "127.0.0.1:8000"
    host = address(flags["listen"])[0]
    flags["bus_listen"] = flags.get("bus_listen") or os.environ.get("OMS_BUS_LISTEN") or f"{_bracketed(host)}:4222"
    flags["data"] = flags.get("data") or _data()
    settings = serve.settings(file, **flags)
    logs.set_up("console" if sys.stderr.isatty() else "json", "warning")
    try:
        with _alone(settings.data):
            asyncio.run(Machine(settings, file).serve())
    except CannotStart as reason:
        print(f"oms up: {reason}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        pass


def _data() -> Path:
    if found := os.environ.get("OMS_DATA"):
        return Path(found)
    if os.geteuid() == 0:
        return Path("/var/lib/oms")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "oms"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Two of us on one data directory would undo each other's work."""
    try:
        data.mkdir(mode=0o711, parents=True, exist_ok=True)
        run = data / "run"
        run.mkdir(mode=0o755, exist_ok=True)
        with (run / "up.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise CannotStart(f"{data} is being served already; give another --data, or end that one.") from None
    except PermissionError as error:
        raise CannotStart(f"{error.filename} may not be written: run as root, or give --data.") from error


class Child:
    """A process of ours that is started again when it ends by itself."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self._arguments = [sys.executable, "-m", "oms", *arguments]
        inherited = {name: value for name, value in os.environ.items() if name != "OMS_ADMIN_PASSWORD"}
        self._environment = {**inherited, **environment}
        self._process: Process | None = None
        self.ends = 0

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
                    preexec_fn=_die_with_parent,
                    start_new_session=True,  # Ctrl-C is ours to pass on, in the right order
                )
                code = await self._process.wait()
                self.ends += 1
                lived = asyncio.get_running_loop().time() - began
                delay = RESTART_SECONDS[0] if lived > 30 else min(delay * 2, RESTART_SECONDS[1])
                log.error("a process of OMS ended and is started again", process=self.name, exit_code=code)
                await asyncio.sleep(delay)
        finally:
            await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(15):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Machine:
    """This machine: its processes, and its own host among the signed ones."""

    def __init__(self, settings: ServerConfig, file: Path | None) -> None:
        self._settings = settings
        self._signer = SignerClient(settings.signer)
        self._tasks: list[asyncio.Task[None]] = []
        same = {
            "OMS_DATA": str(settings.data),
            "OMS_LISTEN": settings.listen,
            "OMS_BUS_LISTEN": settings.bus_listen,
            "OMS_KEEP_BUS": "false",
            "OMS_LOG_FORMAT": "console" if sys.stderr.isatty() else "json",
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

    async def _stop(self) -> None:
        for task in reversed(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _start(self) -> None:
        password = await asyncio.to_thread(self._prepare)
        self._spawn("signer", self._signer_arguments())
        try:
            await self._signer.ca()
        except SignerError as failure:
            raise CannotStart(f"The signer did not start: {failure}") from failure
        server = self._spawn("server", ["server", *self._file])
        fingerprint = await self._answering(server)
        self._spawn("agent", self._agent_arguments(fingerprint))
        host = await self._own_host()
        self._say(password, fingerprint, host)

    def _prepare(self) -> str | None:
        for directory in (self._settings.home, self._settings.data / "signer"):
            directory.mkdir(mode=0o700, exist_ok=True)
        store = Store(self._settings.database_url)
        try:
            store.migrate()
            return admin.first_user(store, os.environ.get("OMS_ADMIN_PASSWORD") or None)
        except OmsError as error:
            raise CannotStart(error.message) from error
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
        reach = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        url = f"https://{_bracketed(reach)}:{port}"
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
        child = Child(name, arguments, self._environment)
        self._tasks.append(asyncio.create_task(child.keep()))
        return child

    async def _answering(self, server: Child) -> str:
        """Wait until the server serves; the fingerprint of its CA."""
        host, port = address(self._settings.listen)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is ours: only whether it answers
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while asyncio.get_running_loop().time() < end:
            if server.ends > 2:
                break
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                _, writer = await asyncio.open_connection(host, port, ssl=context)
                writer.close()
                pem = (self._settings.home / "tls" / "pinned-ca.crt").read_bytes()
                return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()
            await asyncio.sleep(0.1)
        raise CannotStart("The server did not start: what it said stands above.")

    async def _own_host(self) -> str:
        """Wait for our own agent's request and sign it: known by its key, whatever its name is."""
        store = Store(self._settings.database_url)
        try:
            for _ in range(PATIENCE_SECONDS * 5):
                await asyncio.sleep(0.2)
                if name := await self._signed_in(store):
                    return name
        except (OmsError, OSError, ValueError) as failure:
            log.warning("this machine could not be signed in as a host", failure=str(failure))
        finally:
            store.close()
        return ""

    async def _signed_in(self, store: Store) -> str:
        key_file = self._settings.data / "agent" / "key.pem"
        if not key_file.exists():
            return ""
        key = hashlib.sha256(enrolment.public_key(key_file.read_bytes())).hexdigest()
        host, request = await store.read(lambda tx: (hosts.by_key(tx, key), hosts.request_by_key(tx, key)))
        if request and not host:
            await Signer(store, self._signer, self._settings.certificate_days).sign(request, "(oms up)")
        return host.name if host else ""

    def _say(self, password: str | None, fingerprint: str, host: str) -> None:
        where = f"https://{self._settings.listen}/"
        login = f"{admin.FIRST} / {password}   (shown this once)" if password else "as you set it up"
        if os.environ.get("OMS_ADMIN_PASSWORD") and not password:
            login = f"{admin.FIRST}, with the password of OMS_ADMIN_PASSWORD if this was the first start"
        print(
            f"""
OpenNode Management Server is up.

  Address         {where}
  First login     {login}
  This machine    {host or "is not signed in yet: see above"}
  CA fingerprint  {fingerprint}
  Data            {self._settings.data}

  To add another host, run there:
    oms agent --server https://NAME-OF-THIS-MACHINE:{address(self._settings.listen)[1]} --ca-sha256 {fingerprint}
  and sign it here with funcservices.sign_requests.

Ctrl-C ends it.
""",
            flush=True,
        )
