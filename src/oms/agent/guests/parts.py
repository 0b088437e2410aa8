"""What machines are made of, as plain data; part of the port."""

from pathlib import Path
from typing import Literal

import msgspec


class Disk(msgspec.Struct, frozen=True):
    """A drive of a machine."""

    target: str
    """Its name in the machine, as in `vda`."""
    device: Literal["disk", "cdrom", "floppy", "lun"]
    file: Path | None
    """The file behind it, as the definition spells it; None for a block device, a volume, a network disk, no
    medium."""
    sources: tuple[Path, ...]
    """All files and devices that the definition names for it: the one behind it and those behind that."""
    bus: str = ""
    """As in `virtio`."""
    format: str = ""
    """As in `raw`; "" where the definition does not say."""
    read_only: bool = False


class Nic(msgspec.Struct, frozen=True):
    """A network interface of a machine."""

    mac: str
    source: str
    """The bridge, device or network on the host's side; "" where the definition names none."""
    device: str
    """The host's end of it while the machine runs, as in `vnet0`; else ""."""
    kind: str = ""
    """What `source` is: `bridge`, `network`, or another word of the hypervisor's."""
    model: str = ""
    """As in `virtio`."""


class VncServer(msgspec.Struct, frozen=True):
    """Where the screen of a running machine is served by VNC: a Unix socket, or else a TCP port on the host."""

    socket: Path | None
    port: int = 0


class Definition(msgspec.Struct, frozen=True):
    """What a machine is made of."""

    vcpus: int
    max_vcpus: int
    memory_kb: int
    max_memory_kb: int
    vcpus_pinned: bool
    """Its CPUs are laid out in sockets or memory nodes, so that there can never be more than `max_vcpus`."""
    memory_pinned: bool
    """Its memory is laid out in nodes or slots, so that `max_memory_kb` stays as it is."""
    balloon: bool
    """It has the device by which a running machine gives memory back."""
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    guest_agent: bool = False
    """An agent in the guest answers now."""
    boot: tuple[str, ...] = ()
    """From what it starts, the first first: `hd`, `cdrom`, `network` and so on, or names of single devices."""
    graphics: tuple[str, ...] = ()
    """How its screen can be seen, as in `vnc`."""
    vnc: VncServer | None = None
    """Where its screen is, while it runs and has one by VNC."""
    serial: bool = False
    """It has a text console: a serial line that its host can open."""
