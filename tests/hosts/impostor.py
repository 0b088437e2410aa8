"""Something else in the place of a machine's screen: a server at its socket, which says what a test wants."""

import contextlib
import socket
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt

from tests.hosts.libvirtd import PrivateLibvirtd


def screen_socket(libvirtd: PrivateLibvirtd, machine: libvirt.virDomain) -> Path:
    """Where the screen of a machine that runs is, as seen from outside of that libvirtd's enclosure."""
    listens = ET.fromstring(machine.XMLDesc()).find("./devices/graphics/listen")
    assert listens is not None
    return Path(f"/proc/{libvirtd.pid}/root{listens.attrib['socket']}")


@contextmanager
def in_place_of(place: Path, obey: Callable[[socket.socket], None]) -> Iterator[None]:
    """Whoever comes for the screen meanwhile comes to `obey`, each in a thread."""
    kept = place.with_name("kept")
    place.rename(kept)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()
        thread = threading.Thread(target=_serve, args=[listening, obey], daemon=True)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            kept.replace(place)


def _serve(listening: socket.socket, obey: Callable[[socket.socket], None]) -> None:
    def one(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            obey(sock)

    with contextlib.suppress(OSError):  # it was shut down
        while True:
            threading.Thread(target=one, args=[listening.accept()[0]], daemon=True).start()
