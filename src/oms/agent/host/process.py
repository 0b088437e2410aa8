"""The only door to other programs.

A program gets an argument list (never a shell), no input unless it speaks with another one, few variables, a time
limit and an output limit. It runs in a process group of its own, and when it is over, for whatever reason, nothing
of the group is left.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

import msgspec

from oms.contract.errors import FuncManError

MIB = 1024 * 1024
SHOWN = 200  # characters of a program's words in an error
# Programs speak to us in English, whatever language the host was set up in: we read what they say.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class Limits(msgspec.Struct, frozen=True):
    """What a program that reads what strangers made may use: processor seconds, bytes of address space, and bytes
    of a file that it writes."""

    cpu_seconds: int = 30
    memory_bytes: int = 1024 * MIB
    file_bytes: int | None = None

    def before(self, argv: Sequence[str]) -> list[str]:
        """The words that run a program under these limits."""
        files = [] if self.file_bytes is None else [f"--fsize={self.file_bytes}"]
        words = [f"--cpu={self.cpu_seconds}", f"--as={self.memory_bytes}", "--core=0", *files]
        return ["prlimit", *words, "--", *argv]


class Completed(msgspec.Struct, frozen=True):
    """How a program ended. `exit` is its status, or minus the signal that killed it."""

    exit: int
    stdout: bytes
    stderr: bytes

    @property
    def words(self) -> str:
        """The beginning of what it said, for an error's message: stderr, or else stdout, in one line."""
        said = " ".join((self.stderr or self.stdout).decode(errors="replace").split())
        return "".join(letter for letter in said if letter.isprintable())[:SHOWN]


class ProgramError(FuncManError):
    """A program could not be run to its end."""

    reason = "program"


class ProgramMissing(ProgramError):
    """The program is not installed, or may not be run."""


class ProgramTimeout(ProgramError):
    """The program was killed because its time was over. `so_far` is what it had written to stdout."""

    so_far: bytes = b""


class OutputTooLong(ProgramError):
    """The program was killed because it wrote more than anybody would read."""


def hear_of_ends() -> None:
    """Have this loop hear of programs' ends through the kernel's descriptors of processes, instead of a thread for
    each that takes long to begin on a busy host. Python does so by itself from 3.12 on; Linux can from 5.3 on."""
    if sys.version_info >= (3, 12):
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return
    watcher = asyncio.PidfdChildWatcher()
    watcher.attach_loop(asyncio.get_running_loop())
    asyncio.set_child_watcher(watcher)


async def run(
    argv: Sequence[str],
    *,
    timeout: float | None,
    limit: int = MIB,
    environment: Mapping[str, str | None] | None = None,
    limits: Limits | None = None,
    on_output: Callable[[bytes], None] | None = None,
    conversation: socket.socket | None = None,
) -> Completed:
    """Run a program to its end; whatever its exit status is, that is for the caller to judge.

    `timeout` in seconds, None for work that takes as long as it takes; `limit` in bytes, for stdout and stderr
    each; `environment` is added to the usual one, None takes away what is in that; `on_output` is given what it
    writes to stdout as it comes, which is then not kept; `conversation` is its stdin and stdout, for a program
    that speaks with another, and is closed here once it has it. Raises ProgramMissing, ProgramTimeout,
    OutputTooLong. Cancelled, it kills the program first.
    """
    if limits is not None:
        if not shutil.which(argv[0], path=ENVIRONMENT["PATH"]):
            raise _missing(argv[0], os.strerror(errno.ENOENT))
        argv = limits.before(argv)
    said = _Listener(limit, on_output)
    transport = await _start(argv, said, environment or {}, conversation)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.shield(said.ended)
    except TimeoutError:
        late = ProgramTimeout(f"{argv[0]} did not end within {timeout:g} s and was killed", program=argv[0])
        late.so_far = bytes(said.stdout)
        raise late from None
    except _TooLong:
        raise OutputTooLong(f"{argv[0]} wrote more than {limit} bytes and was killed", program=argv[0]) from None
    finally:
        await _end(transport, said)
    exit_status = transport.get_returncode()
    assert exit_status is not None
    return Completed(exit_status, bytes(said.stdout), bytes(said.stderr))


class _TooLong(Exception):
    pass


class _Listener(asyncio.SubprocessProtocol):
    """Gathers what a program says. `ended`: it and its output have come to an end, or there is too much of it."""

    def __init__(self, limit: int, on_output: Callable[[bytes], None] | None) -> None:
        loop = asyncio.get_running_loop()
        self.stdout, self.stderr = bytearray(), bytearray()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self._limit = limit
        self._on_output = on_output

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1 and self._on_output is not None:
            self._on_output(data)
            return
        into = self.stdout if fd == 1 else self.stderr
        into += data
        if len(into) > self._limit and not self.ended.done():
            self.ended.set_exception(_TooLong())

    def process_exited(self) -> None:
        self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its name is asyncio's
        if not self.ended.done():
            self.ended.set_result(None)


async def _start(
    argv: Sequence[str],
    said: _Listener,
    environment: Mapping[str, str | None],
    conversation: socket.socket | None,
) -> asyncio.SubprocessTransport:
    variables = {**ENVIRONMENT, **environment}
    try:
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: said,
            *argv,
            stdin=subprocess.DEVNULL if conversation is None else conversation.fileno(),
            stdout=subprocess.PIPE if conversation is None else conversation.fileno(),
            stderr=subprocess.PIPE,
            cwd="/",
            env={name: value for name, value in variables.items() if value is not None},
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise _missing(argv[0], error.strerror) from error
    finally:
        if conversation is not None:
            conversation.close()
    return transport


def _missing(program: str, why: str | None) -> ProgramMissing:
    return ProgramMissing(f"{program} cannot be run on this host ({why}); install it there", program=program)


async def _end(transport: asyncio.SubprocessTransport, said: _Listener) -> None:
    """Kill what is left of the group, children that outlived their parent too; wait until the parent is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(transport.get_pid(), signal.SIGKILL)
    await asyncio.shield(said.exited)
    transport.close()
