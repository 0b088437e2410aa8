"""The files of osinfo-db on this host: the distribution's, and what its administrator put beside."""

from collections.abc import Iterator
from pathlib import Path

PLACES = (Path("/usr/share/osinfo"), Path("/usr/local/share/osinfo"), Path("/etc/osinfo"))
"""The later ones say more of what stands in the earlier ones, or say it anew. Source: libosinfo's documentation,
"Database locations"."""


def texts(places: tuple[Path, ...] = PLACES) -> Iterator[bytes]:
    """What all the files on operating systems say. Without osinfo-db there are none. Some 800 files: for a
    thread."""
    for place in places:
        for file in sorted(place.glob("os/*/*.xml")):
            try:
                yield file.read_bytes()
            except OSError:
                continue
