"""The agent's settings, all in one place, each with a default. Only `main` sees them whole."""

import contextlib
import re
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from oms.agent.host.links import own_address
from oms.agent.host.lvm import Mapper
from oms.agent.netinterface.files import Way
from oms.agent.netinterface.side import CONFIRM_SECONDS
from oms.agent.passage.passages import MB, Terms, ports
from oms.agent.transfer.web import Fetching
from oms.bus import enrolment
from oms.bus.pinning import plain
from oms.contract.types import DiskFormat
from oms.settings import SettingsError, address

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class AgentConfig(msgspec.Struct, frozen=True):
    """Times are seconds."""

    server: str = ""
    """OMS's address, as in https://oms.example.org:8000."""
    ca_sha256: str = ""
    """The fingerprint of OMS's CA, as OMS printed it. This or `ca_file` is needed for the first contact."""
    ca_file: Path | None = None
    """OMS's CA itself (PEM), brought here by other means."""
    name: str = ""
    """The name under which this host asks; its own host name by default."""
    data: Path = Path("/var/lib/oms-agent")
    """Where everything that lasts lives: `agent/` is this process's own. Not the server's directory, which is
    closed to others, the hypervisor among them."""
    images: Path | None = None
    """Where disk images are; `storage/images` in the data directory by default, beside `storage/iso` and
    `storage/templates`. Only what lies here is deleted with a machine."""
    image_format: DiskFormat = "qcow2"
    """The format of new disk images for which nobody says another."""
    fetch_private: bool = False
    """Whether files are fetched also from addresses inside the own network; this host's own services are there."""
    fetch_largest_gb: Annotated[int, msgspec.Meta(ge=1)] = 64
    """The largest file that is fetched from the web, in GB (1024 MB)."""
    libvirt_uri: str = "qemu:///system"
    domain_type: Literal["auto", "kvm", "qemu"] = "auto"
    """How machines are run; `auto` tries whether the processor really can."""
    libvirtd: Literal["auto", "never"] = "auto"
    """Whether to start libvirtd where it is not running."""
    bridge: str = ""
    """The bridge that new machines are on; by default `vmbr0`, or else libvirt's network `default`."""
    block_devices: tuple[str, ...] = ()
    """Devices, besides logical volumes, that may become machines' disks, as in `/dev/sdb`: what is on them is
    lost."""
    containers: Literal["auto", "lxc", "openvz", "never"] = "auto"
    """What runs containers; `auto` takes OpenVZ where the kernel has it, else LXC where that is installed."""
    lxc_path: Path = Path("/var/lib/lxc")
    """Where LXC's containers are."""
    container_ids: str = ""
    """The ids on this host that new containers have instead of 0 and up, as in `100000:65536`; `none`: the host's
    own, so that their root is root. By default what `/etc/subuid` and `/etc/subgid` give to root."""
    container_bridge: str = ""
    """The bridge that new containers are on; by default they are on none: the host routes to their addresses."""
    container_vzmigrate: bool = False
    """Whether containers of OpenVZ's own kernel move by `vzmigrate`: root of this host may then log in by SSH,
    without a password, at the hosts they go to, by the names those have in OMS."""
    container_stop_seconds: Seconds = 30
    """How long a container has to shut down before it is killed."""
    device_mapper: Mapper = "auto"
    """`never`: the kernel has none, so logical volumes are kept, and have no devices."""
    lvm_devices: tuple[str, ...] = ()
    """Nothing but these is looked at for volume groups; all by default."""
    migration_address: str = ""
    """The IP address at which other hosts bring machines here; by default the one from which OMS is reached."""
    migration_ports: str = "49216-49279"
    """The ports on which that is done, one for each machine on its way. A firewall lets other hosts through."""
    migration_mb_per_second: Annotated[float, msgspec.Meta(ge=0)] = 0
    """How many MB per second this host sends to others at most, all together; 0: as many as there can be."""
    stats: Literal["host", "zabbix"] = "host"
    """Where statistics of this host come from: what its agent measures, or its Zabbix agent."""
    zabbix_agent: str = "127.0.0.1:10050"
    """Where that Zabbix agent listens."""
    network_files: Way = "auto"
    """What brings this host's network up at its start, so that changes are written for it: `ifupdown`, `networkd`,
    or `none`: changes hold until the next start."""
    network_root: Path = Path("/")
    """Where the network's files are, as `etc/network` and so on below this."""
    network_confirm: Annotated[float, msgspec.Meta(ge=1, le=90)] = CONFIRM_SECONDS
    """How long a change of the network waits to have reached OMS before it is undone."""
    authorized_keys: str = "/root/.ssh/authorized_keys"
    """Where OMS's key for consoles is put; empty: nowhere."""
    ssh_address: str = ""
    """Where OMS reaches this host's SSH server, as in `10.0.0.7:2222` or `:2222`; by default the address from
    which this host reaches OMS, and port 22."""
    ssh_host_keys: Path = Path("/etc/ssh")
    """Where the SSH server's own public keys are: OMS knows it by those that it finds there at the signing."""
    rejoin_after: Seconds = 120
    """How long after it was removed a host asks again."""
    reconnect_delay: Annotated[float, msgspec.Meta(gt=0)] = 5
    """The first wait after a lost connection is a random part of this."""
    log_format: Literal["console", "json"] = "json"

    @property
    def fetching(self) -> Fetching:
        """What is fetched from the web."""
        return Fetching(self.fetch_private, self.fetch_largest_gb * 1024**3)

    @property
    def passages(self) -> Terms:
        """How this host meets others."""
        given, server = self.migration_address, self.server
        per_second = self.migration_mb_per_second * MB
        return Terms(lambda: given or own_address(server) or "127.0.0.1", ports(self.migration_ports), per_second)

    @property
    def zabbix_address(self) -> tuple[str, int]:
        """Host and port of the Zabbix agent. Raises SettingsError."""
        with contextlib.suppress(ValueError):
            host, port = address(self.zabbix_agent)
            if port:
                return host, port
        raise SettingsError(f"zabbix_agent is {self.zabbix_agent!r}: legal is host:port, as in 127.0.0.1:10050.")

    @property
    def home(self) -> Path:
        """The agent's own directory."""
        return self.data / "agent"

    @property
    def storage(self) -> Path:
        """OMS's own storage on this host."""
        return self.data / "storage"

    def host_name(self) -> str:
        """The name to ask under. Raises SettingsError where this machine's own will not do."""
        name = (self.name or socket.gethostname()).lower()
        try:
            return enrolment.hostname(name)
        except enrolment.Refusal as refusal:
            raise SettingsError(f"name: {refusal.reason} Give one with --name.") from refusal


def checked(config: AgentConfig) -> AgentConfig:
    """The same, if it can work. Raises SettingsError."""
    if not re.fullmatch(r"https://(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?/?", config.server):
        raise SettingsError(f"server is {config.server!r}: legal is https://NAME:PORT, OMS's address.")
    if config.ca_sha256 and not re.fullmatch(r"[0-9a-f]{64}", plain(config.ca_sha256)):
        raise SettingsError("ca_sha256 is 64 hexadecimal digits, as OMS printed them at its start.")
    config.host_name()
    try:
        _ = config.passages
        if config.migration_address:
            ip_address(config.migration_address)
    except ValueError as error:
        raise SettingsError(f"A setting for migration is not legal: {error}.") from error
    _ = config.zabbix_address
    return config
