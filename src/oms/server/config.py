"""The server's settings, all in one place, each with a default. Only `main` sees them whole."""

import socket
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from oms.server.consoles.console import Kind
from oms.server.consoles.shelf import Shelf
from oms.server.consoles.spots import Spots
from oms.server.edge.qooxdoo import Qooxdoo
from oms.server.rules.guessing import Limits
from oms.server.rules.sessions import Lifetime
from oms.settings import SettingsError, address, joined

PAGES_PORT = 8002
PortRange = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,4}-[1-9][0-9]{0,4}\Z")]
Above0 = Annotated[float, Meta(gt=0)]
From0 = Annotated[float, Meta(ge=0)]


class ServerConfig(msgspec.Struct, frozen=True):
    """Times are seconds, addresses host:port."""

    data: Path = Path("/var/lib/oms")
    """Where everything that lasts lives."""
    listen: str = "0.0.0.0:8000"
    """Where callers and enrolling agents connect (HTTPS)."""
    bus_listen: str = "0.0.0.0:4222"
    """Where signed agents connect (TLS with their certificates)."""
    consoles_listen: str = ""
    """Where the pages of screens are (HTTPS), on port 8002 beside `listen` by default. The ports of screens and
    terminals are on the same address."""
    vnc_ports: PortRange = "6800-6899"
    """The ports of screens: so many at once."""
    ssh_ports: PortRange = "6900-6999"
    """The ports of terminals."""
    record_consoles: bool = False
    """Whether what text consoles and terminals say is kept, in files that asciinema plays."""
    recording_days: Annotated[int, Meta(ge=1)] = 90
    """How long a recording is kept."""
    recording_mb: Annotated[int, Meta(ge=100)] = 2000
    """How much of them is kept in all, in MB (1000 kB): the oldest make room."""
    peers_find_it_at: str = ""
    """host:port at which other servers reach this one; by default this machine's name and the port of `listen`."""
    names: tuple[str, ...] = ()
    """Host names that this server answers to and has in its certificate, besides this machine's own."""
    tls_certificate: Path | None = None
    """A certificate for HTTPS in place of the one from OMS's own CA (PEM, with its chain)."""
    tls_key: Path | None = None
    tls_ca: Path | None = None
    """The CA of that certificate, which agents are to pin; needed with `tls_certificate`."""
    database: str = ""
    """An SQLAlchemy URL; SQLite in the data directory by default."""
    signer_socket: Path | None = None
    """Where the signer listens; `run/signer.sock` in the data directory by default."""
    nats: tuple[str, ...] = ()
    """The nats-servers of a cluster, as in tls://bus1.example.org:4222; by default OMS runs one of its own, at
    `bus_listen`."""
    nats_server: Path | None = None
    """The nats-server program, where it is not the one that was installed with OMS."""
    keep_bus: bool = True
    """Whether the bus goes on when the server ends, so that hosts notice nothing of a restart."""
    session_idle: Above0 = 1800
    session_absolute: Above0 = 43_200
    login_tries: Annotated[int, Meta(ge=1)] = 10
    login_lock: From0 = 900
    login_delay: From0 = 3
    login_sources: tuple[Literal["pam", "ldap"], ...] = ()
    """Who else knows users and their passwords, in the order in which a new name is asked for."""
    admin_groups: tuple[str, ...] = ()
    """Groups of these sources whose members are administrators, as in `ldap:oms-admins`."""
    operator_groups: tuple[str, ...] = ()
    viewer_groups: tuple[str, ...] = ()
    login_timeout: Above0 = 5
    """Seconds that such a source has for an answer."""
    pam_service: str = "oms"
    """The file in /etc/pam.d."""
    ldap_url: str = ""
    """ldaps://HOST, or ldap://HOST, where StartTLS is spoken."""
    ldap_ca: Path | None = None
    """The CA of the directory's certificate (PEM); by default those that this machine trusts."""
    ldap_plain: bool = False
    """Whether passwords may go over the wire for everybody to read, to an ldap:// without StartTLS."""
    ldap_bind_dn: str = ""
    """As whom users are looked for; nobody by default."""
    ldap_bind_password_file: Path | None = None
    ldap_user_base: str = ""
    ldap_user_filter: str = "(uid={user})"
    ldap_group_base: str = ""
    ldap_group_filter: str = "(|(member={dn})(uniqueMember={dn})(memberUid={user}))"
    certificate_days: Annotated[int, Meta(ge=1, le=90)] = 90
    """How long a host's certificate lives."""
    new_hosts_a_minute: Annotated[int, Meta(ge=1)] = 10
    """How many new requests of hosts are written down a minute from one address."""
    audit_days: Annotated[int, Meta(ge=1)] = 365
    """How long a row of the audit log is kept."""
    audit_rows: Annotated[int, Meta(ge=1000)] = 1_000_000
    """How many are kept, whatever their age."""
    events_days: Above0 = 7
    """How long an event is kept, for those who were away and read on."""
    events_kept: Annotated[int, Meta(ge=1000)] = 100_000
    """How many are kept, whatever their age."""
    events_wait: Annotated[float, Meta(ge=0, le=300)] = 60
    """Seconds that a call may wait for events, at most."""
    event_listeners: Annotated[int, Meta(ge=1)] = 2000
    """How many may wait for events at a time, in all."""
    script_transport: bool = False
    """Whether old qooxdoo pages of other sites may call by script; makes answers readable to any site."""
    qooxdoo_test: bool = False
    """Whether the service `qooxdoo.test` is there, by which a qooxdoo client is tested."""
    log_format: Literal["console", "json"] = "json"

    @property
    def home(self) -> Path:
        """The server's own directory."""
        return self.data / "server"

    @property
    def database_url(self) -> str:
        """Where the database is."""
        return self.database or f"sqlite:///{self.home / 'oms.db'}"

    @property
    def here(self) -> str:
        """host:port at which other servers reach this one."""
        host, port = address(self.listen)
        unspecified = host in ("0.0.0.0", "::")  # noqa: S104
        return self.peers_find_it_at or f"{socket.gethostname().lower() if unspecified else host}:{port}"

    @property
    def buses(self) -> tuple[str, ...]:
        """The addresses of the cluster's nats-servers. Raises SettingsError."""
        return tuple(_bus(given) for given in self.nats)

    @property
    def signer(self) -> Path:
        """Where the signer listens."""
        return self.signer_socket or self.data / "run" / "signer.sock"

    @property
    def lifetime(self) -> Lifetime:
        """Of sessions."""
        return Lifetime(self.session_idle, self.session_absolute)

    @property
    def guessing(self) -> Limits:
        """Of passwords."""
        return Limits(self.login_tries, self.login_lock, self.login_delay)

    @property
    def qooxdoo(self) -> Qooxdoo:
        """What of qooxdoo's own is switched on."""
        return Qooxdoo(self.script_transport, self.qooxdoo_test)

    @property
    def shelf(self) -> Shelf:
        """Where what consoles say is kept, also what was kept before that was switched off."""
        return Shelf(self.home / "recordings", days=self.recording_days, most_bytes=self.recording_mb * 1_000_000)

    @property
    def consoles(self) -> tuple[str, int]:
        """Where the pages of screens are."""
        return address(self.consoles_listen) if self.consoles_listen else (address(self.listen)[0], PAGES_PORT)

    @property
    def console_ports(self) -> dict[Kind, Spots]:
        """The ports of consoles, by what is shown there."""
        return {"vnc": _spots("vnc_ports", self.vnc_ports), "ssh": _spots("ssh_ports", self.ssh_ports)}


def _bus(given: str) -> str:
    """Raises SettingsError."""
    try:
        host, port = address(given.removeprefix("tls://"))
    except ValueError:
        raise SettingsError(
            f"nats has {given!r}: legal is tls://HOST:PORT, as in tls://bus1.example.org:4222."
        ) from None
    return joined(host, port)


def _spots(name: str, text: str) -> Spots:
    """Raises SettingsError."""
    first, _, last = text.partition("-")
    if not int(first) <= int(last) <= 65535:
        raise SettingsError(f"{name} is {text!r}: legal is FIRST-LAST, ports of at most 65535, as in 6800-6899.")
    return Spots(int(first), int(last))
