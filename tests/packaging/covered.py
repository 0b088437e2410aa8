"""A private corner of this machine on which OMS is installed; `installation.Installation` starts it.

Run as `unshare --mount --propagation=private python covered.py PROJECT SCRATCH`: puts writable layers over what an
installation changes, and empty directories over where services keep things, says so by one line on its output, and
waits until its input is closed. What is started in its mount namespace sees all of that; nobody else does.
"""

import os
import subprocess
import sys
from pathlib import Path

EMPTY = ("/var/lib", "/run")
LAYERED = ("/etc", "/usr/bin")


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def layer(place: str, scratch: Path) -> None:
    """Changes below `place` stay in the scratch directory."""
    upper, work = (scratch / part / place.replace("/", "-") for part in ("upper", "work"))
    for directory in (upper, work):
        directory.mkdir(parents=True)
    mount("-t", "overlay", "overlay", "-o", f"lowerdir={place},upperdir={upper},workdir={work}", place)


def open_way(project: Path, scratch: Path) -> None:
    """Where a directory above the project is closed to others (root's home), it is seen as one that is not."""
    closed = [parent for parent in reversed(project.parents) if not parent.stat().st_mode & 0o001]
    if not closed:
        return
    seen = scratch / "project"
    seen.mkdir()
    mount("--bind", str(project), str(seen))
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(closed[0]))
    project.mkdir(parents=True)
    mount("--bind", str(seen), str(project))


def main(project: Path, scratch: Path) -> None:
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(scratch))
    open_way(project, scratch)
    for place in LAYERED:
        layer(place, scratch)
    for place in EMPTY:
        mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", place)
    os.write(1, b"ready\n")
    sys.stdin.buffer.read()  # until whoever started us closes it, or dies


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
