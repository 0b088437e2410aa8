"""A whole OMS for tests and benchmarks: signer, server, bus and an agent as real processes on loopback, over a
private libvirtd. Each process can be killed and started again by itself."""

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from oms.bus import enrolment, pinning
from tests.free_port import free_port
from tests.hosts import examples
from tests.waiting import until

PASSWORD = "a test's password"
NAME = "node1"
START_S = 120.0
NO_ANSWER = (OSError, http.client.HTTPException, json.JSONDecodeError)
"""What a caller meets whose connection broke before an answer came."""


class CallFailed(Exception):
    """An answer with an error in it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['name']}: {error['message']}")
        self.error = error
        self.name: str = error["name"]


class Caller:
    """A client that speaks the 2011 API by POST over one kept connection; one for each thread."""

    def __init__(self, port: int, timeout: float = 90, *, address: str = "127.0.0.1") -> None:
        self._context, self._port, self._timeout = pinning.unverified(), port, timeout
        self._address = address
        self._connection: http.client.HTTPSConnection | None = None
        self.sessid = ""

    def raw(self, service: str, method: str, *params: Any) -> dict[str, Any]:
        """The whole answer. Raises NO_ANSWER where there is none."""
        body = json.dumps({"service": service, "method": method, "id": 1, "params": params})
        if self._connection is not None and _hung_up(self._connection):
            self.close()
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._address, self._port, timeout=self._timeout, context=self._context
            )
        try:
            self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
        except BaseException:
            self.close()
            raise
        if answer["error"] is None:
            examples.WITNESS.saw(service, method, params, answer["result"])
        return answer

    def call(self, service: str, method: str, *params: Any) -> Any:
        """The result itself, out of its envelopes. Raises CallFailed, and what `raw` raises."""
        answer = self.raw(service, method, *params)
        if answer["error"] is not None:
            raise CallFailed(answer["error"])
        result = answer["result"]["result"]
        return result["result"] if isinstance(result, dict) and set(result) == {"client", "result"} else result

    def log_in(self, user: str = "admin", password: str = PASSWORD) -> "Caller":
        self.sessid = self.call("authservices", "authenticate", user, password)
        return self

    def func(self, method: str, *params: Any) -> Any:
        return self.call("funcservices", method, self.sessid, 0, *params)

    def kvm(self, method: str, *params: Any, cache_timeout: int = 0, host: str = NAME) -> Any:
        return self.call("kvmservices", method, self.sessid, cache_timeout, host, *params)

    def iso(self, method: str, *params: Any, host: str = NAME) -> Any:
        return self.call("isoservices", method, self.sessid, 0, host, *params)

    def tag(self, method: str, *params: Any) -> Any:
        return self.call("tagservices", method, self.sessid, 0, *params)

    def net(self, method: str, *params: Any, host: str = NAME) -> Any:
        return self.call("netinterfaceservices", method, self.sessid, 0, host, *params)

    def task(self, method: str, *params: Any) -> Any:
        return self.call("taskservices", method, self.sessid, 0, *params)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _hung_up(connection: http.client.HTTPSConnection) -> bool:
    """Whether the server has ended a connection on which nothing is asked, as it may after a while."""
    if connection.sock is None:
        return True
    idle = select.poll()
    idle.register(connection.sock, select.POLLIN)
    return bool(idle.poll(0))


class Stack:
    """The processes. `with Stack(directory, libvirt_uri) as oms:` has a signed, connected host called node1."""

    server_program: tuple[str, ...] = ("-m", "oms")
    server_settings: ClassVar[Mapping[str, str]] = {}
    first_server = "server"
    """The one that is asked where none is named."""
    last: tuple[str, ...] = ("server", "signer")
    """Those on which the others stand, in the order in which they end."""

    def __init__(
        self, directory: Path, libvirt_uri: str, *, under: Sequence[str] = (), **agent_settings: str
    ) -> None:
        """`under`: the beginning of a command under which the processes run, as `strace`."""
        self.directory, self._under = directory, under
        self._others: dict[str, dict[str, str]] = {}
        self.port, self.bus_port, self.pages_port = free_port(), free_port(), free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs = directory / "logs"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OMS_")},
            "OMS_DATA": str(directory),
            "OMS_LISTEN": f"127.0.0.1:{self.port}",
            "OMS_BUS_LISTEN": f"127.0.0.1:{self.bus_port}",
            "OMS_CONSOLES_LISTEN": f"127.0.0.1:{self.pages_port}",
            "OMS_KEEP_BUS": "true",
            "OMS_LOGIN_DELAY": "0.1",
            "OMS_ADMIN_PASSWORD": PASSWORD,
            "OMS_AGENT_LIBVIRT_URI": libvirt_uri,
            "OMS_AGENT_LIBVIRTD": "never",
            "OMS_AGENT_CONTAINERS": "never",
            "OMS_AGENT_DOMAIN_TYPE": "qemu",
            "OMS_AGENT_NAME": NAME,
            "OMS_AGENT_AUTHORIZED_KEYS": str(directory / "authorized_keys"),
            "OMS_AGENT_SSH_HOST_KEYS": str(directory / "no-ssh"),
            "OMS_AGENT_NETWORK_ROOT": str(directory / "network"),
            "OMS_AGENT_REJOIN_AFTER": "1",
            "OMS_AGENT_RECONNECT_DELAY": "0.2",
            **{f"OMS_{name.upper()}": value for name, value in self.server_settings.items()},
            **{f"OMS_AGENT_{name.upper()}": value for name, value in agent_settings.items()},
        }

    @property
    def images(self) -> Path:
        return self.directory / "storage" / "images"

    @property
    def templates(self) -> Path:
        return self.directory / "storage" / "templates"

    @property
    def iso(self) -> Path:
        return self.directory / "storage" / "iso"

    def __enter__(self) -> "Stack":
        for part in ("run", "logs", "network"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        try:
            self.start("signer")
            self.start("server")
            self.wait_for_server()
            self.start("agent")
            self.sign_in()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a process that is not running."""
        with (self._logs / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*self._before(name), sys.executable, *self._program(name), *self._arguments(name)],
                env=self._environment | self._others.get(name, {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.processes[name]

    def join(self, name: str, **agent_settings: str) -> Path:
        """Another host, on this machine too, signed and connected; its process has its name. Its storage."""
        home = self.directory / name
        settings = {"name": name, "data": str(home), "authorized_keys": str(home / "authorized_keys")}
        self._others[name] = {
            f"OMS_AGENT_{setting.upper()}": value for setting, value in (settings | agent_settings).items()
        }
        self.start(name)
        self.sign_in(name)
        return home / "storage"

    def _program(self, name: str) -> tuple[str, ...]:
        """What Python is to run."""
        return self.server_program if name == "server" else ("-m", "oms")

    def _before(self, name: str) -> Sequence[str]:
        """The beginning of a process's command."""
        return self._under

    @property
    def seen_by_agents(self) -> str:
        """The host part of the address under which agents know the server."""
        return "127.0.0.1"

    def _arguments(self, name: str) -> list[str]:
        if name == "signer":
            run = self.directory / "run"
            return ["signer", "--directory", str(self.directory / "signer"), "--socket", str(run / "signer.sock")]
        if name == "server":
            return ["server"]
        pem = (self.homes[0] / "tls" / "pinned-ca.crt").read_text()
        sha256 = enrolment.fingerprint(enrolment.read_certificate(pem))
        return ["agent", "--server", f"https://{self.seen_by_agents}:{self.port}", "--ca-sha256", sha256]

    def pid(self, name: str) -> int:
        """The process id of signer, server, agent (or a further host's name) or nats."""
        if name == "nats":
            return int((self.directory / "server" / "bus" / "nats.pid").read_text())
        return self.processes[name].pid

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal; after SIGKILL the process is waited for."""
        os.kill(self.pid(name), number)
        if number == signal.SIGKILL and name in self.processes:
            self.processes[name].wait()

    def restart_agent(self, caller: Caller, **agent_settings: str) -> None:
        """It is killed and started, with these settings beside its own, and answers."""
        self._others["agent"] = {f"OMS_AGENT_{name.upper()}": value for name, value in agent_settings.items()}
        self.kill("agent")
        self.start("agent")
        self.wait_for_host(caller)

    @contextlib.contextmanager
    def hung(self, name: str) -> Iterator[None]:
        """The process does nothing meanwhile."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):  # it was replaced meanwhile
                os.kill(pid, signal.SIGCONT)

    def caller(self, timeout: float = 90, user: str = "admin") -> Caller:
        """A client of its own, logged in."""
        return Caller(self.port, timeout).log_in(user)

    @property
    def database(self) -> str:
        """Where the server's database is, as its setting says it."""
        return f"sqlite:///{self.directory / 'server' / 'oms.db'}"

    @property
    def homes(self) -> list[Path]:
        """The directories of its servers."""
        return [self.directory / "server"]

    def add_user(self, name: str, role: str) -> None:
        """Another user; the password is `some words of NAME`."""
        command = [sys.executable, "-m", "oms", "admin", "add-user", name, "--role", role, "--password"]
        done = subprocess.run(
            [*command, "--data", str(self.directory)],
            input=f"some words of {name}\n",
            text=True,
            check=True,
            capture_output=True,
        )
        assert f"{name} may log in as {role}" in done.stdout
        assert "password" not in done.stdout

    def wait_for_server(self, name: str | None = None) -> None:
        """Until it takes calls."""
        name = name or self.first_server

        def answers() -> bool:
            with contextlib.suppress(*NO_ANSWER), self.probe(name) as probe:
                probe.raw("authservices", "checksessid", "")
                return True
            assert self.processes[name].poll() is None, self.log(name)
            return False

        self._until(answers, f"{name} does not answer")

    def probe(self, server: str) -> "contextlib.closing[Caller]":
        """A client of one server that is not patient, nor logged in."""
        return contextlib.closing(Caller(self.port_of(server), 5, address=self.address_of(server)))

    def port_of(self, server: str) -> int:
        """Where a server takes calls."""
        return self.port

    def address_of(self, server: str) -> str:
        """Where that port is."""
        return "127.0.0.1"

    def sign_in(self, name: str = NAME) -> None:
        """Sign the agent's request, and wait until it is connected and can be asked."""
        with contextlib.closing(self.caller()) as caller:
            self._until(lambda: {"name": name} in caller.func("list_requests"), "the agent does not ask")
            caller.func("sign_requests", [name])
            self.wait_for_host(caller, name=name)

    def wait_for_host(self, caller: Caller, seconds: float = START_S, name: str = NAME) -> None:
        """Until the host answers."""

        def answers() -> bool:
            try:
                caller.kvm("list_vms_status", host=name)
            except (CallFailed, *NO_ANSWER):
                return False
            return True

        self._until(answers, "the host does not answer", seconds)

    def _until(self, true: "Any", otherwise: str, seconds: float = START_S) -> None:
        def why() -> str:
            ended = {name: code for name, it in self.processes.items() if (code := it.poll()) is not None}
            return f"{otherwise} (ended: {ended}): {self.log('agent')} {self.log(self.first_server)}"

        until(true, why, seconds)

    def log(self, name: str, most: int = 4000) -> str:
        """The end of what a process logged."""
        path = self._logs / f"{name}.log"
        return path.read_text(errors="replace")[-most:] if path.exists() else ""

    @contextlib.contextmanager
    def kept(self, *names: str) -> Iterator[None]:
        """Start these processes again whenever they end, as a service manager would."""
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(0.1):
                for name in names:
                    if self.processes[name].poll() is not None:
                        self.start(name)

        thread = threading.Thread(target=keep)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def close(self) -> None:
        """End everything, by pid."""
        for name in (*(name for name in self.processes if name not in self.last), *self.last):
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid("nats"), signal.SIGCONT)
            os.kill(self.pid("nats"), signal.SIGTERM)


class HastyStack(Stack):
    """With a server that lets callers wait for seconds where OMS does so for a minute."""

    server_program = (str(Path(__file__).with_name("hasty.py")),)
