"""Root file systems for containers: a tiny one, made in a moment, and a Debian, kept below the user's cache
directory.

The tiny one is a static busybox whose init does nothing, and ends when it is asked to shut down; `DEAF` has it
not even do that. The Debian is minbase with sysvinit, openssh-server and ifupdown, as a tarball like those that
OpenVZ's templates are.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from oms.agent.guests.containers import IdMap, outside
from tests.hosts.guest_image import SHELL_PACKAGE, download
from tests.surroundings import caches

RECIPE = 1  # counts changes of the Debian that make older ones unfit
SUITE = "bookworm"
PACKAGES = "sysvinit-core,sysv-rc,initscripts,insserv,ifupdown,iproute2,iputils-ping,openssh-server,procps,netbase"
COMMANDS = (
    "sh",
    "ls",
    "cat",
    "ip",
    "sleep",
    "nproc",
    "id",
    "dd",
    "hostname",
    "grep",
    "ps",
    "login",
    "getty",
    "touch",
)
DIRECTORIES = ("bin", "sbin", "etc", "proc", "sys", "dev", "tmp", "root", "run", "var", "dev/pts")
DEAF = "#!/bin/sh\ntrap '' PWR TERM INT\nwhile :; do sleep 3600 & wait; done\n"
INIT = "#!/bin/sh\ntrap 'exit 0' PWR TERM INT\nwhile :; do sleep 3600 & wait; done\n"
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\nshadow:x:42:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n",
    "etc/resolv.conf": "# by hand\nnameserver 192.0.2.53\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/os-release": 'NAME="Tiny"\nVERSION_ID="1"\n',
}
INITTAB = {
    "1:2345:respawn:/sbin/getty": "1:2345:respawn:/sbin/getty --noclear 38400 console",
    "pf::": "pf::powerwait:/sbin/shutdown -h now",
    "pn::": "pn::powerfailnow:/sbin/shutdown -h now",
}
NO_TERMINALS = ("2:23", "3:23", "4:23", "5:23", "6:23")


def cache() -> Path:
    """Where what takes long is kept."""
    place = caches() / "oms-tests"
    place.mkdir(parents=True, exist_ok=True)
    return place


def busybox() -> Path:
    """The program."""
    kept = cache() / "busybox-static"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache(), prefix="building-") as scratch:
            package = download(SHELL_PACKAGE, Path(scratch))
            subprocess.run(["dpkg-deb", "--extract", package, scratch], check=True)
            Path(scratch, "bin/busybox").rename(kept)
    return kept


def tiny(place: Path, ids: IdMap = (), *, init: str = INIT, shadow: bool = True) -> Path:
    """Fill an empty directory; its files are the container's root's."""
    for name in DIRECTORIES:
        (place / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(busybox(), place / "bin/busybox")
    for command in COMMANDS:
        (place / "bin" / command).symlink_to("busybox")
    for name, text in FILES.items():
        if shadow or name != "etc/shadow":
            (place / name).write_text(text)
    (place / "etc/shadow").chmod(0o640) if shadow else None
    (place / "sbin/init").write_text(init)
    (place / "sbin/init").chmod(0o755)
    give(place, ids)
    return place


def give(place: Path, ids: IdMap) -> None:
    """Make all of it the container's, whose ids are those outside."""
    given: set[int] = set()
    for path in (place, *place.rglob("*")) if ids else ():
        found = path.lstat()
        if found.st_ino in given:
            continue  # another name of the same file
        given.add(found.st_ino)
        os.lchown(path, outside(ids, "user", found.st_uid), outside(ids, "group", found.st_gid))
        if not stat.S_ISLNK(found.st_mode):
            path.chmod(stat.S_IMODE(found.st_mode))  # its new owner has taken set-user-id away


def debian() -> Path:
    """The tarball (`.tar.gz`, 110 MB). Takes about a minute where none is kept."""
    kept = cache() / f"debian-{RECIPE}-{SUITE}.tar.gz"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache(), prefix="building-") as scratch:
            root = Path(scratch, "root")
            _run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root))
            _for_a_container(root)
            packed = Path(scratch, kept.name)
            program = "--use-compress-program=gzip -1"
            _run("tar", "--numeric-owner", program, "-cf", str(packed), "-C", str(root), ".")
            packed.rename(kept)
    return kept


def _for_a_container(root: Path) -> None:
    """No terminals but the console, and an end when the host asks for one."""
    inittab = root / "etc/inittab"
    lines = []
    for line in inittab.read_text().splitlines():
        said = next((text for front, text in INITTAB.items() if line.startswith(front)), line)
        lines.append(f"#{said}" if said.startswith(NO_TERMINALS) else said)
    inittab.write_text("\n".join(lines) + "\n")
    (root / "etc/network/interfaces").write_text("auto lo\niface lo inet loopback\n")
    (root / "etc/hostname").write_text("debian\n")
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with status {done.returncode}: {done.stderr[-2000:]}")
