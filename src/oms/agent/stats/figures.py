"""What is told of this host to OMS every few seconds, from what was measured. Pure."""

from collections.abc import Mapping

from oms.agent.host.mounts import Usage
from oms.agent.stats.sampler import Moment
from oms.contract.internal import Figures, FileSystemFigures, GuestFigures, Hypervisor

MOST_FILE_SYSTEMS = 64
LONGEST_NAME = 256


def figures(
    now: Moment, guests: Mapping[Hypervisor, GuestFigures], *, cpus: int, uptime_seconds: float
) -> Figures:
    """Of more file systems than may be told, the largest."""
    reading, sight = now.reading, now.sight
    largest = sorted(sight.usages, key=lambda usage: usage.total_kb, reverse=True)[:MOST_FILE_SYSTEMS]
    traffic = reading.traffic
    return Figures(
        cpus=cpus,
        cpu_seconds={
            "user": reading.cpu.user,
            "system": reading.cpu.system,
            "iowait": reading.cpu.iowait,
            "idle": reading.cpu.idle,
            "other": reading.cpu.other,
        },
        load=reading.load,
        uptime_seconds=uptime_seconds,
        memory_kb=reading.memory_kb,
        memory_available_kb=reading.available_kb,
        swap_kb=reading.swap_kb,
        swap_free_kb=reading.swap_free_kb,
        device=traffic.device if traffic else "",
        received_bytes=traffic.received if traffic else 0,
        sent_bytes=traffic.sent if traffic else 0,
        bytes_per_second=sight.uplink.bytes_per_second,
        file_systems=tuple(map(_file_system, largest)),
        guests=dict(guests),
    )


def _file_system(usage: Usage) -> FileSystemFigures:
    return FileSystemFigures(
        mount=usage.mount.point[:LONGEST_NAME],
        device=usage.mount.device[:LONGEST_NAME],
        size_kb=usage.total_kb,
        used_kb=usage.used_kb,
        free_kb=usage.free_kb,
    )
