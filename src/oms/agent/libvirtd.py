"""See that a hypervisor is there: libvirtd running, and how it runs machines."""

import asyncio
import os
import shutil
import stat
from pathlib import Path
from xml.etree import ElementTree

import structlog

from oms.agent.config import AgentConfig
from oms.agent.guests import DomainType, Machines
from oms.agent.guests.probe import KVM, newest_kernels, probe_domain_type
from oms.agent.host.daemon import Daemon, listener
from oms.agent.host.process import run

log = structlog.get_logger("oms.agent")
SOCKET = Path("/run/libvirt/libvirt-sock")
STATUS = Path("/run/libvirt/qemu")
LIBVIRTD = "/usr/sbin/libvirtd"
VIRTLOGD = "/usr/sbin/virtlogd"  # libvirtd hands each machine's output to it
VIRTLOGD_SOCKET = Path("/run/libvirt/virtlogd-sock")
QEMU = "qemu-system-x86_64"
PACKAGES = "apt-get install libvirt-daemon-system libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils"
WAIT_SECONDS = 15.0
ROOT_ALONE, GROUP_TOO = 0o600, 0o660


class Hypervisor:
    """This host's libvirtd, started by us where nobody else has."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._libvirtd = Daemon([LIBVIRTD], SOCKET, config.home, before=_prepare)
        self._virtlogd = Daemon([VIRTLOGD], VIRTLOGD_SOCKET, config.home)
        self.machines: Machines | None = None

    async def begin(self) -> None:
        """Find out what there is; `machines` stays None, with the reason in the log, where nothing can run."""
        try:
            from oms.agent.guests.libvirt import LibvirtMachines
        except ImportError as missing:
            log.warning("no machines can run here", why=str(missing), get="pip install opennode-oms[agent]")
            return
        if not shutil.which(QEMU) and self._config.libvirtd == "auto":
            log.warning("no machines can run here", why=f"{QEMU} is not installed", get=PACKAGES)
            return
        if not await self._started():
            return
        machines = LibvirtMachines(self._config.libvirt_uri, await self._domain_type())
        if not await machines.begin():
            log.warning("libvirtd does not answer yet", uri=self._config.libvirt_uri)
        self.machines = machines

    async def _started(self) -> bool:
        """Whether there is a libvirtd, or may be one later; starts it where that is ours to do."""
        if self._config.libvirtd == "never" or self._libvirtd.is_anothers():
            return True
        if not Path(LIBVIRTD).exists():
            log.warning("no machines can run here", why="libvirtd is not installed", get=PACKAGES)
            return False
        if os.geteuid() != 0:
            log.warning("libvirtd is not running and only root may start it", do="run the agent as root")
            return True
        if Path("/run/systemd/system").is_dir():
            await run(["systemctl", "start", "libvirtd.service"], timeout=60)
        else:
            if Path(VIRTLOGD).exists():
                self._virtlogd.begin()
            self._libvirtd.begin()
        for _ in range(int(WAIT_SECONDS * 10)):
            if listener(SOCKET) is not None:
                return True
            await asyncio.sleep(0.1)
        log.warning("libvirtd was started and does not answer", socket=str(SOCKET))
        return True

    async def _domain_type(self) -> DomainType:
        if self._config.domain_type != "auto":
            return self._config.domain_type
        probe = await probe_domain_type(newest_kernels(), shutil.which(QEMU) or QEMU)
        log.info("how machines are run here", domain_type=probe.type, why=probe.reason)
        return probe.type

    async def close(self) -> None:
        """Let go of libvirtd, and end it where it is ours; machines go on."""
        if self.machines is not None:
            await self.machines.close()
        await self._libvirtd.end()
        await self._virtlogd.end()


def _prepare() -> None:
    forget_broken_starts()
    hand_over_kvm()


def hand_over_kvm(device: Path = KVM, group: str = "kvm") -> None:
    """Give the processor's virtualisation to those whose group may use it, as udev does where there is one: in
    a container there is none. libvirt's machines run as a user of that group. While they may not use what it sees
    itself, it looks anew before each change what qemu can do, and that takes seconds."""
    try:
        found = device.stat()
        if not stat.S_ISCHR(found.st_mode) or found.st_gid != 0 or stat.S_IMODE(found.st_mode) != ROOT_ALONE:
            return
        shutil.chown(device, group=group)
        device.chmod(GROUP_TOO)
    except (OSError, LookupError):
        return
    log.info("machines may use the processor's virtualisation", device=str(device), group=group)


def forget_broken_starts(status: Path = STATUS) -> None:
    """Take away libvirtd's notes of machines of which it was killed in the first moment of their start, before
    there was a process. It would list those as paused for ever, and nothing could be done to them; without the
    note they are off, which is so. Only while no libvirtd runs."""
    for note in status.glob("*.xml"):
        try:
            root = ElementTree.parse(note).getroot()  # noqa: S314 - libvirtd's own, in a place of root's
            if root.tag == "domstatus" and root.get("pid") == "0":
                log.warning("a start that was broken off is forgotten", machine=note.stem)
                note.unlink()
        except (ElementTree.ParseError, OSError):
            continue  # libvirtd says what is wrong with it
