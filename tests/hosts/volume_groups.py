"""A volume group of the run's own, on a loop device."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oms.agent.host.lvm import Lvm

SIZE_MB = 64
EXTENT_MB = 4


@dataclass(frozen=True)
class VolumeGroup:
    """`lvm` sees this group alone. Without device-mapper its volumes are kept, and never active."""

    name: str
    device: str
    lvm: Lvm


def has_device_mapper() -> bool:
    return "device-mapper" in Path("/proc/misc").read_text()


@contextlib.contextmanager
def volume_group(directory: Path) -> Iterator[VolumeGroup]:
    """Made of a sparse file in the directory; gone at the end with all that is in it."""
    file = directory / "physical-volume"
    with file.open("wb") as made:
        made.truncate((SIZE_MB + EXTENT_MB) * 1024 * 1024)
    device = _said("losetup", "--find", "--show", str(file))
    name = f"omstest-{os.getpid()}-{Path(device).name}"
    lvm = Lvm("auto" if has_device_mapper() else "never", (device,))
    options = ["--devices", device, *(["--driverloaded", "n"] if lvm.mapper == "never" else [])]
    try:
        _said("pvcreate", *options, "--yes", device)
        _said("vgcreate", *options, "--physicalextentsize", f"{EXTENT_MB}m", name, device)
        try:
            yield VolumeGroup(name, device, lvm)
        finally:
            _said("vgremove", *options, "--yes", "--force", name)
    finally:
        _said("losetup", "--detach", device)


def _said(*argv: str) -> str:
    environment = {**os.environ, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert not done.returncode, f"{argv}: {done.stderr}"
    return done.stdout.strip()
