"""An LXC path of our own, whose containers end with it."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from oms.agent.guests.lxc.sources import TABLE

PROGRAMS = ("lxc-start", "lxc-stop", "lxc-ls", "newuidmap", "ip", "nsenter")


def why_not() -> str | None:
    """Why no containers can run here, in words for a skipped test; None where they can."""
    if os.geteuid() != 0:
        return "needs root: containers are started by root alone"
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        return f"needs {', '.join(missing)} (scripts/bootstrap test installs them)"
    return None


LOCK = Path(tempfile.gettempdir()) / "oms-tests-lxc.lock"
_held: list[int] = []
"""How often this process has the lock."""


@contextmanager
def alone() -> Iterator[None]:
    """No other process of tests has containers meanwhile: interfaces of containers are named by their ids, and all
    are in the one network of this machine."""
    with LOCK.open("w") as lock:
        if not _held:
            fcntl.flock(lock, fcntl.LOCK_EX)
        _held.append(1)
        try:
            yield
        finally:
            _held.pop()


@contextmanager
def lxc_path() -> Iterator[Path]:
    """An empty one, through which the users of containers pass. Not pytest's directories, which are closed. Skips
    where no containers can run."""
    if reason := why_not():
        pytest.skip(reason)
    with alone(), rules_cleared(), tempfile.TemporaryDirectory(prefix="oms-lxc-") as name:
        path = Path(name)
        path.chmod(0o711)
        try:
            yield path
        finally:
            end_all(path)
            unmount_all(path)


@contextmanager
def rules_cleared() -> Iterator[None]:
    """The rule about containers' addresses that an agent leaves behind is taken away, unless it was there."""
    table = ("table", *TABLE.split())
    was_there = _nft("list", *table)
    try:
        yield
    finally:
        if not was_there:
            _nft("delete", *table)


def _nft(*words: str) -> bool:
    try:
        return subprocess.run(["nft", *words], check=False, capture_output=True, timeout=30).returncode == 0
    except FileNotFoundError:
        return False


def end_all(path: Path, front: Sequence[str] = ()) -> None:
    """Kill every container there, and wait until each has ended. `front`: the words before a command that has the
    network in which they were started, where that is not this machine's."""
    for config in path.glob("*/config"):
        subprocess.run(
            [*front, "lxc-stop", "-P", path, "-n", config.parent.name, "-k"],
            check=False,
            capture_output=True,
            timeout=30,
        )
    for config in path.glob("*/config"):
        subprocess.run(
            [*front, "lxc-wait", "-P", path, "-n", config.parent.name, "-s", "STOPPED", "-t", "10"], check=False
        )


def unmount_all(path: Path) -> None:
    """Take away the mounts of disks that are images, those of containers that were never finished too."""
    for image in (*path.glob("*/rootfs.img"), *path.glob(".staging/*/rootfs.img")):
        subprocess.run(["umount", image.with_suffix("")], check=False, capture_output=True, timeout=30)


def by_hand(path: Path, name: str, rootfs: Path, more: str = "") -> None:
    """A container as people make them who know LXC: privileged, without a network."""
    place = path / name
    place.mkdir(exist_ok=True)
    (place / "config").write_text(
        f"# mine\nlxc.include = /usr/share/lxc/config/common.conf\nlxc.rootfs.path = dir:{rootfs}\n"
        f"lxc.uts.name = {name}-host\nlxc.net.0.type = empty\n{more}"
    )


def attached(path: Path, ctid: str, *command: str) -> str:
    """What a command prints that runs in a container."""
    done = subprocess.run(
        ["lxc-attach", "-P", path, "-n", ctid, "--clear-env", "--", *command],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout.strip()
