"""What the kernel holds a running container to, and what it counts of it: control groups of version 1, of version
2, and of both side by side.

Which groups a container is in, its first process says. What is written is read back: the kernel rounds, and
refuses in its own ways.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from oms.agent.guests.lxc.config import PERIOD_US, UNLIMITED_BYTES, cpu_count

ROOT: Final = Path("/sys/fs/cgroup")
PAYLOAD: Final = "lxc.payload"

Groups = Mapping[str, Path]
"""The directory of a container's group by controller; "" is version 2's."""


def swap_is_counted(root: Path = ROOT) -> bool:
    """Whether this kernel can hold a group's swap to a limit."""
    if (root / "cgroup.controllers").exists():
        return Path("/proc/swaps").exists()
    return (root / "memory" / "memory.memsw.limit_in_bytes").exists()


def groups_of(pid: int, root: Path = ROOT) -> dict[str, Path]:
    """The groups of the container that a process is the first of; {} where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return {}
    found: dict[str, Path] = {}
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        own = _whole(path)
        if not controllers:
            found[""] = Path(f"{root}/unified{own}" if (root / "unified").is_dir() else f"{root}{own}")
            continue
        for controller in controllers.split(","):
            found[controller] = Path(f"{root}/{controllers.removeprefix('name=')}{own}")
    return found


def memory_limit_kb(groups: Groups) -> int:
    """0 where there is none."""
    if "memory" in groups:
        return _limit_kb(_read(groups["memory"] / "memory.limit_in_bytes"))
    return _limit_kb(_read(groups[""] / "memory.max")) if "" in groups else 0


def swap_limit_kb(groups: Groups, memory_kb: int) -> int:
    """Beside the memory; 0 where there is none."""
    if "memory" in groups:
        both = _limit_kb(_read(groups["memory"] / "memory.memsw.limit_in_bytes"))
        return max(both - memory_kb, 0) if both and memory_kb else 0
    return _limit_kb(_read(groups[""] / "memory.swap.max")) if "" in groups else 0


def memory_used_kb(groups: Groups) -> int | None:
    """Without what the kernel would give back of its cache."""
    if "memory" in groups:
        used, cold = _read(groups["memory"] / "memory.usage_in_bytes"), "total_inactive_file"
        stat = _read(groups["memory"] / "memory.stat")
    elif "" in groups:
        used, cold = _read(groups[""] / "memory.current"), "inactive_file"
        stat = _read(groups[""] / "memory.stat")
    else:
        return None
    if not used.strip().isdigit():
        return None
    given = next((int(line.split()[1]) for line in stat.splitlines() if line.startswith(f"{cold} ")), 0)
    return max(int(used) - given, 0) // 1024


def cpu_used_ns(groups: Groups) -> int:
    """Time of processors since its start."""
    if "cpuacct" in groups:
        used = _read(groups["cpuacct"] / "cpuacct.usage").strip()
        return int(used) if used.isdigit() else 0
    for line in _read(groups[""] / "cpu.stat").splitlines() if "" in groups else ():
        if line.startswith("usage_usec "):
            return int(line.split()[1]) * 1000
    return 0


def cpus(groups: Groups) -> int:
    """How many it may run on; 0 where that cannot be told."""
    if "cpuset" in groups:
        return cpu_count(_read(groups["cpuset"] / "cpuset.cpus"))
    return cpu_count(_read(groups[""] / "cpuset.cpus.effective")) if "" in groups else 0


def vcpulimit(groups: Groups) -> int:
    """Percent of one CPU; 0 where there is no limit."""
    if "cpu" in groups:
        quota = _read(groups["cpu"] / "cpu.cfs_quota_us").strip()
        period = _read(groups["cpu"] / "cpu.cfs_period_us").strip()
    else:
        quota, _, period = _read(groups[""] / "cpu.max").strip().partition(" ") if "" in groups else ("", "", "")
    return round(100 * int(quota) / int(period)) if quota.isdigit() and period.isdigit() and int(period) else 0


def is_frozen(groups: Groups) -> bool:
    """Whether it stands still."""
    if "freezer" in groups:
        return _read(groups["freezer"] / "freezer.state").strip() in {"FROZEN", "FREEZING"}
    return "frozen 1" in _read(groups[""] / "cgroup.events") if "" in groups else False


def set_memory(groups: Groups, memory_kb: int, swap_kb: int) -> str:
    """Hold it to so much; why not, or ""."""
    if "memory" in groups:
        home, none = groups["memory"], "-1"
        files = {"memory.limit_in_bytes": memory_kb * 1024}
        if swap_is_counted():
            files["memory.memsw.limit_in_bytes"] = (memory_kb + swap_kb) * 1024 if memory_kb else 0
        # Memory never has a higher limit than memory and swap together, not even in between.
        why = _write_all(home, files, none) and _write_all(home, dict(reversed(files.items())), none)
    else:
        home, none = groups[""], "max"
        why = _write_all(home, {"memory.max": memory_kb * 1024}, none)
        if memory_kb and (home / "memory.swap.max").exists():
            why = _write(home / "memory.swap.max", str(swap_kb * 1024)) or why
    held_kb = memory_limit_kb(groups)
    if held_kb != memory_kb:
        return why or f"the kernel holds it to {held_kb // 1024} MB"
    swap_held_kb = swap_limit_kb(groups, memory_kb)
    return "" if not memory_kb or swap_held_kb == swap_kb else why or f"it may swap {swap_held_kb // 1024} MB"


def set_cpus(groups: Groups, numbers: tuple[int, ...], online: tuple[int, ...]) -> str:
    """Have it run on these CPUs, or on all where none is named; why not, or ""."""
    home = groups["cpuset"] if "cpuset" in groups else groups[""]
    why = _write(home / "cpuset.cpus", ",".join(str(number) for number in numbers or online))
    return "" if cpus(groups) == len(numbers or online) else why or "the kernel did not take it"


def set_vcpulimit(groups: Groups, percent: int) -> str:
    """Give it so much of one CPU's time; why not, or ""."""
    quota = percent * PERIOD_US // 100
    if "cpu" in groups:
        why = _write(groups["cpu"] / "cpu.cfs_period_us", str(PERIOD_US))
        why = _write(groups["cpu"] / "cpu.cfs_quota_us", str(quota) if percent else "-1") or why
    else:
        why = _write(groups[""] / "cpu.max", f"{quota if percent else 'max'} {PERIOD_US}")
    return "" if vcpulimit(groups) == percent else why or "the kernel did not take it"


def _whole(path: str) -> str:
    """A container's own group, where its first process is in one below: systemd lays such out for itself."""
    parts = path.split("/")
    for place, part in enumerate(parts):
        if part.startswith(PAYLOAD):
            return "/".join(parts[: place + 1])
    return path.removesuffix("/init.scope")


def _limit_kb(text: str) -> int:
    size = int(text) if text.strip().isdigit() else 0
    return size // 1024 if size < UNLIMITED_BYTES else 0


def _read(file: Path) -> str:
    """ "" where it is not there: a controller may be off, a container may just end."""
    try:
        place = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(place, 65536).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(place)


def _write_all(home: Path, files: Mapping[str, int], none: str) -> str:
    why = ""
    for name, value in files.items():
        why = _write(home / name, str(value) if value else none) or why
    return why


def _write(file: Path, value: str) -> str:
    """Why it was not taken; "" where it was."""
    try:
        place = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        return f"{file.name}: {error.strerror}"
    try:
        os.write(place, value.encode())
    except OSError as error:
        return "it uses more than that now" if error.errno == 16 else f"{file.name}: {error.strerror}"
    finally:
        os.close(place)
    return ""
