"""Containers that start with their host, where LXC's own service does not start them: it knows LXC's usual path
alone, and is itself started by systemd.

That is once for each boot of the host, however often the agent starts, and not at the agent's first start ever: a
host that runs already has not just booted. Which boot it was is written down before anything is started.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from oms import durable
from oms.agent.guests.lxc.config import Config
from oms.agent.guests.lxc.programs import SYSTEMD

USUAL: Final = Path("/var/lib/lxc")
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
NOTE: Final = ".booted"
"""In LXC's path: the boot for which its containers were started."""


def is_ours(path: Path) -> bool:
    """Whether nobody else starts the containers of that path."""
    return path != USUAL or not SYSTEMD.is_dir()


def is_new(path: Path) -> bool:
    """Whether the host has booted since this was asked last; asked again, it has not. Blocks. Raises OSError."""
    now, note = BOOT.read_bytes(), path / NOTE
    before = note.read_bytes() if note.exists() else None
    if before != now:
        durable.write_whole(note, now, 0o600)
    return before not in {None, now}


def in_order(configs: Iterable[tuple[str, Config]]) -> list[str]:
    """Those that are to be started, the lowest `lxc.start.order` first."""
    wanted = [(config.order, ctid) for ctid, config in configs if config.settings.onboot]
    return [ctid for _, ctid in sorted(wanted)]
