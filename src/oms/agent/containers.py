"""See what runs containers on this host: OpenVZ where its kernel has it, else LXC where that is installed."""

import os
import shutil
from pathlib import Path

import structlog

from oms.agent.config import AgentConfig
from oms.agent.guests.containers import Containers

log = structlog.get_logger("oms.agent")
OPENVZ = Path("/proc/vz")
PACKAGES = "apt-get install lxc uidmap nftables"


async def found(config: AgentConfig) -> Containers | None:
    """The containers of this host; None, with the reason in the log, where there can be none. Raises
    SettingsError."""
    if config.containers == "never":
        return None
    if config.containers == "openvz" or (config.containers == "auto" and OPENVZ.exists()):
        return await _openvz(config)
    return await _lxc(config)


async def _openvz(config: AgentConfig) -> Containers | None:
    from oms.agent.guests.vzctl import VzContainers

    if not shutil.which("vzctl") or not shutil.which("vzlist"):
        log.warning("no containers can run here", why="vzctl and vzlist are not installed", do="install vzctl")
        return None
    return VzContainers(sends=config.container_vzmigrate)


async def _lxc(config: AgentConfig) -> Containers | None:
    from oms.agent.guests.lxc import LxcContainers, programs
    from oms.agent.guests.lxc.ids import ids_for_containers

    if not programs.is_installed():
        log.warning("no containers can run here", why="LXC is not installed", get=PACKAGES)
        return None
    if os.geteuid() != 0:
        log.warning("no containers can run here", why="only root may start them", do="run the agent as root")
        return None
    containers = LxcContainers(config.lxc_path, await ids_for_containers(config.container_ids))
    try:
        await containers.begin()
    except OSError as error:
        log.warning("no containers can run here", why=str(error), path=str(config.lxc_path))
        return None
    return containers
