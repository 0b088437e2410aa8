"""The only door to other programs.

A program gets an argument list (never a shell), no input unless it speaks with another one, few variables, a time
limit and an output limit. It runs in a process group of its own, and when it is over, for whatever reason, nothing
of the group is left.
"""

import asyncio
import contextlib
import errno
import functools
import os
import shutil
import signal
import socket
import subprocess
import threading
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
    program = _Program(argv, environment or {}, limit, on_output, conversation)
    try:
        async with asyncio.timeout(timeout):
            await program.listen()
            await asyncio.shield(program.over)
    except TimeoutError:
        late = ProgramTimeout(f"{argv[0]} did not end within {timeout:g} s and was killed", program=argv[0])
        late.so_far = bytes(program.stdout)
        raise late from None
    except _TooLong:
        raise OutputTooLong(f"{argv[0]} wrote more than {limit} bytes and was killed", program=argv[0]) from None
    finally:
        await program.end()
    return Completed(program.exit, bytes(program.stdout), bytes(program.stderr))


class _TooLong(Exception):
    pass


class _Program:
    """A program that runs, and what it says. Begun by Python's own `subprocess`, which copies nothing of this
    process for it: uvloop's would copy the tables of its memory, and takes five times as long."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str | None],
        limit: int,
        on_output: Callable[[bytes], None] | None,
        conversation: socket.socket | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit, self._on_output = limit, on_output
        self.stdout, self.stderr = bytearray(), bytearray()
        self.over: asyncio.Future[None] = self._loop.create_future()
        """Done when it and its output have come to an end; fails when there is too much of that."""
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._transports: list[asyncio.ReadTransport] = []
        self._begun = _begun(argv, environment, conversation)
        pipes = {1: self._begun.stdout, 2: self._begun.stderr}
        self._pipes = [(number, pipe) for number, pipe in pipes.items() if pipe]
        self._ends_awaited = len(self._pipes) + 1
        self._watch()

    @property
    def exit(self) -> int:
        """Its status, once it has ended."""
        return self._exited.result()

    async def listen(self) -> None:
        """Hear what it says from now on."""
        while self._pipes:
            number, pipe = self._pipes.pop()
            voice = _Voice(functools.partial(self._said, number), self._one_end)
            transport, _ = await self._loop.connect_read_pipe(lambda voice=voice: voice, pipe)  # type: ignore[misc]
            self._transports.append(transport)

    async def end(self) -> None:
        """Kill what is left of the group, children that outlived their parent too; wait for the parent."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._begun.pid, signal.SIGKILL)
        await asyncio.shield(self._exited)
        for transport in self._transports:
            transport.close()
        for _, pipe in self._pipes:
            pipe.close()

    def _watch(self) -> None:
        """Hear of its end through the kernel's descriptor of it; before Linux 5.3 a thread waits for that."""
        try:
            descriptor = os.pidfd_open(self._begun.pid)
        except OSError:
            threading.Thread(target=self._wait, daemon=True).start()
        else:
            self._loop.add_reader(descriptor, self._gone, descriptor)

    def _gone(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._note_exit(self._begun.wait())

    def _wait(self) -> None:
        status = self._begun.wait()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._note_exit, status)

    def _note_exit(self, status: int) -> None:
        self._exited.set_result(status)
        self._one_end()

    def _said(self, number: int, data: bytes) -> None:
        if number == 1 and self._on_output is not None:
            self._on_output(data)
            return
        into = self.stdout if number == 1 else self.stderr
        into += data
        if len(into) > self._limit and not self.over.done():
            self.over.set_exception(_TooLong())

    def _one_end(self) -> None:
        self._ends_awaited -= 1
        if not self._ends_awaited and not self.over.done():
            self.over.set_result(None)


class _Voice(asyncio.Protocol):
    """One of the pipes into which a program speaks."""

    def __init__(self, said: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._said, self._ended = said, ended

    def data_received(self, data: bytes) -> None:
        self._said(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its name is asyncio's
        self._ended()


def _begun(
    argv: Sequence[str], environment: Mapping[str, str | None], conversation: socket.socket | None
) -> subprocess.Popen[bytes]:
    variables = {**ENVIRONMENT, **environment}
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if conversation is None else conversation.fileno(),
            stdout=subprocess.PIPE if conversation is None else conversation.fileno(),
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env={name: value for name, value in variables.items() if value is not None},
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise _missing(argv[0], error.strerror) from error
    finally:
        if conversation is not None:
            conversation.close()


def _missing(program: str, why: str | None) -> ProgramMissing:
    return ProgramMissing(f"{program} cannot be run on this host ({why}); install it there", program=program)
