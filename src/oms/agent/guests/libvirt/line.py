"""A line to libvirtd: a few connections, kept up, and the threads that may use one each at a time.

libvirtd may be killed, restarted, or hang. A line notices (a closed socket at once, silence by keep-alive within
seconds), fails what is asked meanwhile at once, and comes back by itself. libvirt's own errors become the
contract's here, by their codes; nothing outside this package sees one.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt
import structlog

from oms.agent.guests.libvirt.connections import Connections, Farewell, Parted
from oms.agent.guests.threads import Lane, TooLate
from oms.contract.errors import FuncManError, HypervisorUnavailable, NoSuchMachine, OmsError

T = TypeVar("T")
log = structlog.get_logger("oms.agent.guests")

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Between attempts to connect; the last for all that follow. A local socket that nobody serves costs nothing."""
PATIENCE_SECONDS = 0.25
"""How long a call on a lost line waits for the attempt that it sets off."""
WORDS_LIMIT = 500  # characters of libvirt's own words in a message

AWAY = "libvirtd on this host does not answer; "
NOTHING_DONE = "nothing was changed: start libvirtd there, or wait until it is back, and repeat"
NOT_KNOWN = "whether the change was made is not known: when libvirtd is back, look at the machine before repeating"
ASK_AGAIN = "start libvirtd there, or wait until it is back, and ask again"


class Line:
    """`width` threads and as many connections.

    `greet` is called in a thread with one of the new connections before anybody else may use it, and answers what
    to do in parting; `on_up` is called in the event loop after that.
    """

    def __init__(
        self,
        uri: str,
        name: str,
        width: int,
        *,
        greet: Callable[[Any], list[Farewell]] | None = None,
        on_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._uri, self._width = uri, width
        self._lane = Lane(f"libvirt-{name}", width)
        self._door = Lane(f"libvirt-{name}-door", 1)  # opening may hang as long as libvirtd does
        self._greet = greet
        self._on_up = on_up
        self._connections: Connections | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Connect, and keep connected, in the background."""
        start_event_loop()
        self._keeper = asyncio.create_task(self._keep())

    async def wait_up(self, seconds: float) -> bool:
        """Whether the line is up within so many seconds."""
        if self._up.is_set():
            return True
        self._wanted.set()
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    async def ask(self, call: Callable[[Any], T], seconds: float) -> T:
        """What `call` answers, given the connection; it changes nothing. Raises HypervisorUnavailable and so
        on."""
        if not await self.wait_up(PATIENCE_SECONDS):
            raise HypervisorUnavailable(AWAY + ASK_AGAIN)
        connections = self._connections
        assert connections is not None
        try:
            return await self._lane.run(lambda: _translated(connections, call, changes=False), seconds)
        except TooLate:
            raise HypervisorUnavailable(
                f"libvirtd on this host did not answer within {seconds:g} s; try again"
            ) from None

    async def change(self, call: Callable[[Any], T], seconds: float | None) -> T:
        """As `ask`, for a change: the error says whether nothing was changed or whether that is not known. Without
        a limit it takes as long as it takes, or as the connection stands."""
        if not await self.wait_up(PATIENCE_SECONDS):
            raise HypervisorUnavailable(AWAY + NOTHING_DONE, outcome="nothing")
        connections = self._connections
        assert connections is not None
        try:
            return await self._lane.run(lambda: _translated(connections, call, changes=True), seconds)
        except TooLate as late:
            outcome, words = ("unknown", NOT_KNOWN) if late.begun else ("nothing", NOTHING_DONE)
            message = f"libvirtd on this host did not answer within {seconds:g} s; {words}"
            raise HypervisorUnavailable(message, outcome=outcome) from None

    async def close(self) -> None:
        """Let go of the connections; a call in flight is not waited for."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        self._lane.close()
        self._door.close()

    async def _keep(self) -> None:
        failures = 0
        try:
            while True:
                self._wanted.clear()
                if await self._connect():
                    failures = 0
                    await self._lost.wait()
                    log.warning("libvirtd is gone", uri=self._uri)
                    self._hang_up()
                else:
                    pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                    failures += 1
                    await self._pause(pause)
        finally:
            self._hang_up()

    async def _connect(self) -> bool:
        loop = asyncio.get_running_loop()
        self._lost = lost = asyncio.Event()

        def tell_lost(*_: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody keeps this line any more
                loop.call_soon_threadsafe(self._mark_lost, lost)

        opening = functools.partial(Connections, self._uri, self._width, greet=self._greet, tell_lost=tell_lost)
        try:
            self._connections = await self._door.run(opening, None)
        except libvirt.libvirtError:
            return False
        if lost.is_set():
            self._hang_up()
            return False
        self._up.set()
        self._on_up()
        return True

    def _mark_lost(self, lost: asyncio.Event) -> None:
        lost.set()
        if lost is self._lost:
            self._up.clear()

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until somebody asks."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()

    def _hang_up(self) -> None:
        self._up.clear()
        if self._connections is not None:
            # Not waited for: it asks libvirtd once more.
            threading.Thread(target=self._connections.part, name="libvirt-parting", daemon=True).start()
            self._connections = None


@functools.cache
def start_event_loop() -> None:
    """libvirt's events and keep-alive need a loop that runs in this process, and it must be there before the first
    connection. It gets a thread of its own, once for all: a busy asyncio loop must not look like a dead
    libvirtd."""
    libvirt.registerErrorHandler(_say_nothing, None)
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_turn, name="libvirt-events", daemon=True).start()


def _turn() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.exception("libvirt's event loop failed once")


def _say_nothing(*_: Any) -> None:
    """libvirt's library prints every error by itself; each is raised as well, and that suffices."""


def _translated(connections: Connections, call: Callable[[Any], T], *, changes: bool) -> T:
    try:
        with connections.one() as connection:
            return _made(connection, call, changes=changes)
    except Parted:
        if changes:
            raise HypervisorUnavailable(AWAY + NOTHING_DONE, outcome="nothing") from None
        raise HypervisorUnavailable(AWAY + ASK_AGAIN) from None


def _made(connection: Any, call: Callable[[Any], T], *, changes: bool) -> T:
    try:
        return call(connection)
    except libvirt.libvirtError as error:
        raise translate(error, alive=_alive(connection), changes=changes) from error


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


def translate(error: libvirt.libvirtError, *, alive: bool, changes: bool) -> OmsError:
    """The contract's error for one of libvirt's, by its code. `alive`: the connection still stands; then even an
    error of a connection is libvirtd's answer, about its own connection to something else (virtlogd)."""
    code = error.get_error_code()
    if not alive:
        if changes:
            return HypervisorUnavailable(AWAY + NOT_KNOWN, outcome="unknown")
        return HypervisorUnavailable(AWAY + ASK_AGAIN)
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return NoSuchMachine("The machine is not there any more; list_vms shows those that are")
    return FuncManError(f"libvirt refused: {words(error)}", libvirt_code=code)


def words(error: libvirt.libvirtError) -> str:
    """libvirt's own words, for people: one line, no control characters, not too long. Never decided upon."""
    said = " ".join((error.get_error_message() or "no reason given").split())
    return "".join(letter for letter in said if letter.isprintable())[:WORDS_LIMIT]
