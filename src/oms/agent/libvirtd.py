"""See that a hypervisor is there: libvirtd running, and how it runs machines."""

import asyncio
import os
import shutil
from pathlib import Path

import structlog

from oms.agent.config import AgentConfig
from oms.agent.guests import DomainType, Machines
from oms.agent.guests.probe import newest_kernels, probe_domain_type
from oms.agent.host.process import Daemon, run

log = structlog.get_logger("oms.agent")
SOCKET = Path("/run/libvirt/libvirt-sock")
LIBVIRTD = "/usr/sbin/libvirtd"
VIRTLOGD = "/usr/sbin/virtlogd"  # libvirtd hands each machine's output to it
QEMU = "qemu-system-x86_64"
PACKAGES = "apt-get install libvirt-daemon-system libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils"
WAIT_SECONDS = 15.0


class Hypervisor:
    """This host's libvirtd, started by us where nobody else has."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._daemons: list[Daemon] = []
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
        if self._config.libvirtd == "never" or await answers(SOCKET):
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
            self._daemons = [Daemon([program]) for program in (VIRTLOGD, LIBVIRTD) if Path(program).exists()]
            for daemon in self._daemons:
                daemon.begin()
        for _ in range(int(WAIT_SECONDS * 10)):
            if await answers(SOCKET):
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
        for daemon in reversed(self._daemons):
            await daemon.end()


async def answers(socket: Path) -> bool:
    """Whether somebody listens there."""
    try:
        _, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    writer.close()
    return True
