"""The files of the web pages, as the web's own build leaves them: read once, and given with their types."""

import mimetypes
from pathlib import Path

import msgspec

BUILT = Path(__file__).parent / "web"
"""Where a built package has them; a source tree's build writes them there."""
CONSOLES = BUILT / "consoles"
GUI = BUILT / "ui"
PACKED = ".br"
FOR_GOOD = b"public, max-age=31536000, immutable"
"""How long whoever has a lasting file may keep it, as browsers are told."""
_FONTS = {".woff2": "font/woff2"}


class Asset(msgspec.Struct, frozen=True):
    """One file."""

    body: bytes
    packed: bytes
    """The same as Brotli, empty where that is no shorter."""
    media: bytes
    lasting: bool
    """Its name changes with what is in it, so that it may be kept for good."""


class Assets:
    """All files below a directory, by their names in addresses."""

    def __init__(self, directory: Path) -> None:
        self._all = {
            file.relative_to(directory).as_posix(): _read(file, directory)
            for file in sorted(directory.rglob("*"))
            if file.is_file() and file.suffix != PACKED
        }

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._all)

    def find(self, name: str) -> Asset | None:
        """The file of that name: nothing outside is ever looked at."""
        return self._all.get(name)


def _read(file: Path, directory: Path) -> Asset:
    media = _FONTS.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    if media.startswith("text/") or media in ("application/javascript", "image/svg+xml"):
        media += "; charset=utf-8"
    packed = file.with_name(file.name + PACKED)
    return Asset(
        file.read_bytes(),
        packed.read_bytes() if packed.exists() else b"",
        media.encode(),
        file.relative_to(directory).parts[0] == "assets",
    )
