"""A container's configuration file: what its settings say, and the same text with others. Pure.

Only lines that are ours to set are ever changed; comments, and what others have written, stay as they are. A key
that stands twice counts as it stands last. What a kernel with control groups of version 1 wants and what one of
version 2 wants are both written: LXC passes over those of the other kind with no more than a warning.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from oms.agent.guests.containers import ContainerSettings, IdMap, IdRange, Kind, Network, NetworkKind

PERIOD_US: Final = 100_000
UNLIMITED_BYTES: Final = 1 << 60
"""More than that is how version 1 says that there is no limit."""
UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
OURS: Final = "# Made by OpenNode Management Server"
JOB: Final = "# oms.job = "
DISK: Final = "# oms.disk_kb = "
KINDS: Final[dict[str, Kind]] = {"u": "user", "g": "group", "b": "user"}

MEMORY = ("lxc.cgroup.memory.limit_in_bytes", "lxc.cgroup2.memory.max")
SWAP = ("lxc.cgroup.memory.memsw.limit_in_bytes", "lxc.cgroup2.memory.swap.max")
CPUS = ("lxc.cgroup.cpuset.cpus", "lxc.cgroup2.cpuset.cpus")
QUOTA = ("lxc.cgroup.cpu.cfs_period_us", "lxc.cgroup.cpu.cfs_quota_us", "lxc.cgroup2.cpu.max")

Values = Mapping[str, Sequence[str]]


class Config(msgspec.Struct, frozen=True):
    """What a configuration file says, as far as anybody asks."""

    settings: ContainerSettings
    rootfs: Path | None
    ids: IdMap
    network: Network
    ours: bool
    job: str
    pair: str
    """The host's end of its first interface, where it has a name of its own."""
    cpus: tuple[int, ...]
    order: int
    """Of those that start with the host, the lowest first."""


def read(text: str, ctid: str) -> Config:
    """What the text of a container's file says."""
    values = _values(text)
    last = {key: found[-1] for key, found in values.items()}
    cpus = _cpu_list(last.get(CPUS[1]) or last.get(CPUS[0], ""))
    memory_kb = _kb(last.get(MEMORY[1]) or last.get(MEMORY[0], ""))
    settings = ContainerSettings(
        hostname=last.get("lxc.uts.name", ctid),
        memory_kb=memory_kb,
        swap_kb=_swap_kb(last, memory_kb),
        vcpus=len(cpus),
        vcpulimit=_vcpulimit(last),
        disk_kb=_marked_number(text),
        addresses=_addresses(values),
        onboot=last.get("lxc.start.auto") == "1",
    )
    return Config(
        settings=settings,
        rootfs=_rootfs(last.get("lxc.rootfs.path", "")),
        ids=_ids(values.get("lxc.idmap", [])),
        network=_network(last),
        ours=text.startswith(OURS),
        job=next((line.removeprefix(JOB) for line in text.splitlines() if line.startswith(JOB)), ""),
        pair=last.get("lxc.net.0.veth.pair", ""),
        cpus=cpus,
        order=int(order) if (order := last.get("lxc.start.order", "")).lstrip("-").isdecimal() else 0,
    )


def edited(text: str, lines: Values) -> str:
    """The text with other values of these keys: each key's lines become these, in the place of the first."""
    left = {key: list(values) for key, values in lines.items()}
    made: list[str] = []
    for line in text.splitlines():
        key = line.partition("=")[0].strip()
        if key not in lines:
            made.append(line)
        elif key in left:
            made += [f"{key} = {value}" for value in left.pop(key)]
    made += [f"{key} = {value}" for key, values in left.items() for value in values]
    return "\n".join(made) + "\n"


def marked(text: str, mark: str, value: str) -> str:
    """The text with another value in a comment of ours, or without that where it is ""."""
    lines = [line for line in text.splitlines() if not line.startswith(mark)]
    at = 1 if lines and lines[0].startswith(OURS) else 0
    return "\n".join([*lines[:at], *([mark + value] if value else []), *lines[at:]]) + "\n"


def memory_lines(memory_kb: int, swap_kb: int, *, swap: bool) -> dict[str, list[str]]:
    """Memory and swap; `swap`: this kernel counts swap, so that the limit may be named at all."""
    limit = [str(memory_kb * 1024)] if memory_kb else []
    both = [str((memory_kb + swap_kb) * 1024)] if memory_kb and swap else []
    alone = [str(swap_kb * 1024)] if memory_kb and swap else []
    return {MEMORY[0]: limit, SWAP[0]: both, MEMORY[1]: limit, SWAP[1]: alone}


def cpu_lines(cpus: Iterable[int]) -> dict[str, list[str]]:
    """On which of the host's CPUs it runs; on all where none is named."""
    shown = ",".join(str(cpu) for cpu in sorted(cpus))
    return {key: [shown] if shown else [] for key in CPUS}


def quota_lines(percent: int) -> dict[str, list[str]]:
    """How much of the time of the host's CPUs it has, in percent of one; 0: any."""
    if not percent:
        return {key: [] for key in QUOTA}
    quota = percent * PERIOD_US // 100
    return {QUOTA[0]: [str(PERIOD_US)], QUOTA[1]: [str(quota)], QUOTA[2]: [f"{quota} {PERIOD_US}"]}


def cpus_for(ctid: str, count: int, online: Sequence[int]) -> tuple[int, ...]:
    """Which CPUs a container gets: spread by its id, so that containers of one CPU do not all share the first."""
    number = int(ctid) if ctid.isdigit() else sum(ctid.encode())
    first = number * count % len(online)
    return tuple(sorted(online[(first + place) % len(online)] for place in range(min(count, len(online)))))


def cpu_count(text: str) -> int:
    """How many CPUs a list as in `0-2,5` names."""
    return len(_cpu_list(text))


def _values(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or key.startswith("#"):
            continue
        if value:
            found.setdefault(key, []).append(value)
        else:
            found.pop(key, None)  # an empty value takes back what stood before
    return found


def _cpu_list(text: str) -> tuple[int, ...]:
    cpus: set[int] = set()
    for part in text.split(","):
        if match := re.fullmatch(r"\s*(\d{1,5})(?:-(\d{1,5}))?\s*", part, re.ASCII):
            first = int(match[1])
            cpus.update(range(first, int(match[2] or first) + 1))
    return tuple(sorted(cpus))


def _kb(text: str) -> int:
    """KB of a size as in `64M`; 0 where it is no limit."""
    match = re.fullmatch(r"(\d{1,19})([kmgt]?)b?", text.strip().lower(), re.ASCII)
    if match is None:
        return 0
    size = int(match[1]) * UNITS[match[2]]
    return size // 1024 if size < UNLIMITED_BYTES else 0


def _swap_kb(last: Mapping[str, str], memory_kb: int) -> int:
    if (alone := last.get(SWAP[1])) is not None:
        return _kb(alone)
    both = _kb(last.get(SWAP[0], ""))
    return max(both - memory_kb, 0) if both and memory_kb else 0


def _vcpulimit(last: Mapping[str, str]) -> int:
    words = last.get(QUOTA[2], "").split() or [last.get(QUOTA[1], ""), last.get(QUOTA[0], str(PERIOD_US))]
    quota, period = (*words, str(PERIOD_US))[:2]
    if not (quota.isascii() and quota.isdigit() and period.isascii() and period.isdigit() and int(period)):
        return 0
    return round(100 * int(quota) / int(period))


def _addresses(values: Values) -> tuple[str, ...]:
    found = [*values.get("lxc.net.0.ipv4.address", ()), *values.get("lxc.net.0.ipv6.address", ())]
    return tuple(re.sub(r"/(?:32|128)\Z", "", address.split()[0]) for address in found)


def _rootfs(path: str) -> Path | None:
    kind, colon, place = path.partition(":")
    if not colon:
        place = path
    elif kind not in {"dir", "btrfs"}:
        return None
    return Path(place) if place.startswith("/") else None


def _ids(lines: Iterable[str]) -> IdMap:
    found: list[IdRange] = []
    for line in lines:
        match = re.fullmatch(r"([ugb])\s+(\d{1,10})\s+(\d{1,10})\s+(\d{1,10})", line, re.ASCII)
        if match is not None:
            kinds: tuple[Kind, ...] = ("user", "group") if match[1] == "b" else (KINDS[match[1]],)
            found += [IdRange(kind, int(match[2]), int(match[3]), int(match[4])) for kind in kinds]
    return tuple(found)


def _network(last: Mapping[str, str]) -> Network:
    kind: NetworkKind = "other"
    link, type_ = last.get("lxc.net.0.link", ""), last.get("lxc.net.0.type", "none")
    if type_ in {"none", "empty"}:
        kind = "none"
    elif type_ == "veth" and last.get("lxc.net.0.veth.mode") == "router":
        kind = "routed"
    elif type_ == "veth" and link:
        kind = "bridge"
    name = "" if kind == "none" else last.get("lxc.net.0.name", "eth0")
    return Network(kind, name, link if kind == "bridge" else "", last.get("lxc.net.0.hwaddr", ""))


def _marked_number(text: str) -> int:
    for line in text.splitlines():
        if line.startswith(DISK) and line.removeprefix(DISK).isdigit():
            return int(line.removeprefix(DISK))
    return 0
