"""Where the small CD lies by which a machine's guest is told its first settings: with the machine's disks, so that
it goes with them, and by the machine's UUID, so that it is nobody else's. It is shown with no list."""

from pathlib import Path

SEEDS = ".seeds"


def path_of(images: Path, uuid: str) -> Path:
    """The CD of a machine, whether there is one or not."""
    return images / SEEDS / f"{uuid}.iso"
