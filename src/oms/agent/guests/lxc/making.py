"""The text of a new container's configuration file. Pure, but for what this host's kernel can."""

from pathlib import Path

from oms.agent.guests.containers import ContainerSettings, IdMap, Network, NewContainer
from oms.agent.guests.lxc import config, network

COMMON, USERNS = "/usr/share/lxc/config/common.conf", "/usr/share/lxc/config/userns.conf"
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
LETTERS = {"user": "u", "group": "g"}


def apparmor() -> bool:
    """Whether this kernel confines programs by AppArmor's profiles."""
    try:
        return APPARMOR.read_text().strip() == "Y"
    except OSError:
        return False


def text(
    new: NewContainer, job: str, rootfs: Path, ids: IdMap, online: tuple[int, ...], *, swap: bool, hook: str = ""
) -> str:
    """The whole file; `rootfs` is where it will be, `online` the CPUs to choose from, `hook` what LXC is to run on
    the host before each start, or ""."""
    settings = new.settings
    lines = {
        "lxc.include": [COMMON, *([USERNS] if ids else [])],
        "lxc.rootfs.path": [f"dir:{rootfs}"],
        "lxc.hook.pre-start": [hook] if hook else [],
        "lxc.uts.name": [settings.hostname or new.ctid],
        "lxc.idmap": [f"{LETTERS[part.kind]} {part.inside} {part.outside} {part.count}" for part in ids],
        "lxc.apparmor.profile": ["generated"] if apparmor() else [],
        "lxc.start.auto": ["1" if settings.onboot else "0"],
        **network.lines(interface(new), settings.addresses, network.pair_for(new.ctid)),
        **limits(settings, new.ctid, online, swap=swap),
    }
    whole = config.edited(f"{config.OURS}\n", lines)
    marked = config.marked(whole, config.JOB, job)
    return config.marked(marked, config.DISK, str(settings.disk_kb) if settings.disk_kb else "")


def limits(settings: ContainerSettings, ctid: str, online: tuple[int, ...], *, swap: bool) -> config.Values:
    """What it is held to."""
    cpus = config.cpus_for(ctid, settings.vcpus, online) if settings.vcpus else ()
    return {
        **config.memory_lines(settings.memory_kb, settings.swap_kb, swap=swap),
        **config.cpu_lines(cpus),
        **config.quota_lines(settings.vcpulimit),
    }


def interface(new: NewContainer) -> Network:
    """Its network."""
    kind, name = ("bridge", network.BRIDGED) if new.bridge else ("routed", network.ROUTED)
    return Network(
        "bridge" if kind == "bridge" else "routed", name, new.bridge, new.mac or network.mac_for(new.ctid)
    )
