"""Connections to libvirtd, each used by one thread at a time.

Not one for many threads: where several wait on a connection that is given up because libvirtd hangs, libvirt's
library ends the whole process (9.0 does). And none is closed by force: libvirt would free what a call that still
hangs on it uses. Who is last to let go of it closes it.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import libvirt

Farewell = Callable[[], object]
KEEPALIVE_SECONDS = 2
KEEPALIVE_COUNT = 3
QUIET_SECONDS = KEEPALIVE_SECONDS * (KEEPALIVE_COUNT + 1)
"""After so long without a sign of life a connection is given up."""


class Parted(Exception):
    """The connections were let go of: this call was not made."""


class Connections:
    """So many of them. They are made, used and parted from in threads."""

    def __init__(
        self,
        uri: str,
        count: int,
        *,
        greet: Callable[[Any], list[Farewell]] | None,
        tell_lost: Callable[..., None],
    ) -> None:
        """`greet` is called with one of them and answers what to do in parting from it, whatever becomes of each;
        `tell_lost` when libvirtd has gone from any. Raises libvirtError."""
        self._free: list[Any] = []
        self._farewells: dict[Any, list[Farewell]] = {}
        self._parting = threading.Event()
        self._lock = threading.Lock()
        try:
            for _ in range(count):
                self._open(uri, tell_lost)
            if greet is not None:
                first = self._free[0]
                self._farewells[first][:0] = greet(first)
        except BaseException:
            self.part()
            raise

    def _open(self, uri: str, tell_lost: Callable[..., None]) -> None:
        connection = libvirt.open(uri)
        self._free.append(connection)
        self._farewells[connection] = [connection.unregisterCloseCallback]
        connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
        connection.registerCloseCallback(tell_lost, None)

    @contextlib.contextmanager
    def one(self) -> Iterator[Any]:
        """A connection for one call. There is one for each thread. Raises Parted."""
        with self._lock:
            if self._parting.is_set():
                raise Parted
            connection = self._free.pop()
        try:
            yield connection
        finally:
            with self._lock:
                self._free.append(connection)
            if self._parting.is_set():
                self.part()

    def part(self) -> None:
        """Let go of those that nobody uses, and of each other one after its call. Asks libvirtd once more."""
        with self._lock:
            self._parting.set()
            free, self._free = self._free, []
        for connection in free:
            for step in self._farewells.pop(connection):
                with contextlib.suppress(libvirt.libvirtError):  # the other end has gone first, and took it along
                    step()
