"""Since when this host runs."""

from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Another one each time the host has been started."""
    return BOOT_ID.read_text().strip()
