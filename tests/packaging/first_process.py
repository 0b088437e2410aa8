"""The inside of `booted.Booted`, which starts it twice.

As `first_process.py cover DIR` in a mount namespace it puts a layer over this machine's files and holds it for as
long as its input is open; as `first_process.py boot DIR NAME=PATH...` in namespaces of everything it becomes
systemd. Nothing that this machine has enabled is started there: only what systemd itself is made of.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEMD = "/lib/systemd/systemd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
OFF = ("systemd-sysv-generator", "postgresql-generator", "systemd-gpt-auto-generator", "systemd-fstab-generator")
"""What would start more than is asked for."""
BASE = "multi-user.target"


def mount(kind: str, at: Path, options: str = "") -> None:
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", kind, *(["-o", options] if options else []), kind, str(at)], check=True)


def cover(scratch: Path) -> None:
    """Put the layer over this machine's files, at DIR/root, and wait."""
    mount("tmpfs", scratch, "mode=0755")
    root, upper, work = (scratch / part for part in ("root", "upper", "work"))
    for directory in (upper, work):
        directory.mkdir()
    mount("overlay", root, f"lowerdir=/,upperdir={upper},workdir={work}")
    units = root / "etc/systemd/system"
    shutil.rmtree(units)
    units.mkdir()
    (units / "default.target").symlink_to(f"/lib/systemd/system/{BASE}")
    generators = root / "etc/systemd/system-generators"
    generators.mkdir(exist_ok=True)
    for place, names in ((generators, OFF), (units, ("console-getty.service",))):
        for name in names:
            (place / name).unlink(missing_ok=True)
            (place / name).symlink_to("/dev/null")
    (root / "etc/fstab").write_text("")
    (root / "etc/hostname").write_text("booted\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost booted\n::1 localhost\n")
    for directory in (root / "var/lib/lxc", *root.glob("var/lib/oms*"), root / "var/log/journal"):
        shutil.rmtree(directory, ignore_errors=True)
    os.write(1, b"ready\n")
    sys.stdin.buffer.read()  # until whoever started us closes it, or dies


def boot(scratch: Path, shown: list[str]) -> None:
    """Become its first process."""
    root = scratch / "root"
    mount("proc", root / "proc")
    mount("sysfs", root / "sys", "ro")  # by which systemd knows that devices are not its own
    mount("cgroup2", root / "sys/fs/cgroup")
    mount("tmpfs", root / "run", "mode=0755")
    mount("tmpfs", root / "tmp", "mode=1777")
    dev = root / "dev"
    mount("tmpfs", dev, "mode=0755")
    for name in DEVICES:
        subprocess.run(["cp", "-a", f"/dev/{name}", str(dev)], check=True)
    subprocess.run(["cp", "-a", "/dev/null", str(dev / "console")], check=True)
    mount("devpts", dev / "pts", "newinstance,ptmxmode=0666,mode=0620,gid=5")
    mount("tmpfs", dev / "shm", "mode=1777")
    for name, to in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1")):
        (dev / name).symlink_to(to)
    for one in shown:
        name, _, path = one.partition("=")
        (root / "mnt" / name).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", path, root / "mnt" / name], check=True)
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "."], check=True)
    subprocess.run(["umount", "--lazy", "."], check=True)
    os.execve(SYSTEMD, [SYSTEMD, "--log-target=journal"], {"container": "oms", "PATH": PATH})


if __name__ == "__main__":
    what, directory, *more = sys.argv[1:]
    if what == "cover":
        cover(Path(directory))
    else:
        boot(Path(directory), more)
