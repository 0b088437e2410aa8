"""The configuration of nats-server, as text. Pure.

The embedded server and the nodes of a cluster get the same: TLS 1.3 with client certificates from the first byte,
two accounts (SYS for OMS's control of the bus, BUS for calls), and OMS itself decides about every other
connection (`auth_callout`). There is no monitoring port: it would answer anybody, and `$SYS` tells OMS the same.
"""

from dataclasses import dataclass
from pathlib import Path

from oms.bus.nats import subjects
from oms.bus.wire import MAX_PAYLOAD_BYTES

SYS_ACCOUNT = "SYS"
BUS_ACCOUNT = "BUS"
LAME_DUCK_S = 30
"""In so many seconds a node that ends lets its clients go."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """What makes a nats-server one of several."""

    name: str
    listen: str
    """Where the other nodes connect, as host:port."""
    routes: tuple[str, ...]
    """The nodes, as host:port; a node may name itself."""
    ca_file: Path
    """The CA of nats-servers and OMS alone: a host's certificate must not open this door."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BusConfig:
    """Everything a nats-server of OMS is told."""

    listen: str
    """Where hosts and OMS connect, as host:port; "[::]:4222" for IPv6."""
    run_dir: Path
    """Where the server writes its process id, its ports and its log."""
    cert_file: Path
    key_file: Path
    clients_ca_file: Path
    """The CAs of OMS servers and of hosts, in one file."""
    issuer: str
    """Public half of the key that signs admitted hosts ("A...")."""
    server_name: str = "oms-embedded"
    sys_user: str = "oms://server/sys"
    """URI in the certificate of OMS's SYS connection. The CA of hosts must never write one into a certificate."""
    bus_user: str = "oms://server/bus"
    """URI in the certificate of OMS's BUS connection."""
    ping_interval_s: int = 10
    """A host that is dead without a word is found after two to three of these."""
    auth_timeout_s: int = 5
    """How long an unanswered callout holds a connection; longer makes a reconnect storm last minutes."""
    handshakes_per_s: int = 300
    """New TLS connections per second; more are turned away cheaply instead of timing out in the callout."""
    max_connections: int = 65536
    log_bytes: int = 16 * 1024 * 1024
    """The log is rotated at this size; four are kept. A hostile host can make the server log without end."""
    revision: str = ""
    """Anything whose change must restart the server although this text stays: a digest of the certificates."""
    cluster: Cluster | None = None


def render(config: BusConfig) -> str:
    """The text of the configuration file. Raises ValueError when a value cannot stand in one."""
    parts = [_server(config), _tls(config), _accounts(config)]
    if config.cluster is not None:
        parts.append(_cluster(config, config.cluster))
    return "\n".join(parts)


def _quote(value: str | Path) -> str:
    text = str(value)
    if not text or any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise ValueError(
            f"{text!r} cannot stand in the configuration of nats-server: empty, or control characters"
        )
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _server(config: BusConfig) -> str:
    revision = f"# revision {_quote(config.revision)}\n" if config.revision else ""
    return f"""\
# Written by OMS; changes made here are lost.
{revision}server_name: {_quote(config.server_name)}
listen: {_quote(config.listen)}
pid_file: {_quote(config.run_dir / "nats.pid")}
ports_file_dir: {_quote(config.run_dir)}
log_file: {_quote(config.run_dir / "nats.log")}
logfile_size_limit: {config.log_bytes}
logfile_max_num: 4

max_payload: {MAX_PAYLOAD_BYTES}
max_pending: {16 * MAX_PAYLOAD_BYTES}       # bytes per connection; who reads slower than that is dropped
write_deadline: "10s"
max_connections: {config.max_connections}
max_control_line: 1024      # no subject of ours comes near
ping_interval: "{config.ping_interval_s}s"
ping_max: 2
lame_duck_duration: "{LAME_DUCK_S}s"
lame_duck_grace_period: "2s"
"""


def _tls(config: BusConfig) -> str:
    return f"""\
tls {{
  cert_file: {_quote(config.cert_file)}
  key_file: {_quote(config.key_file)}
  ca_file: {_quote(config.clients_ca_file)}
  verify_and_map: true      # a client certificate is required; it names OMS's own connections
  handshake_first: true     # not one byte before TLS
  min_version: "1.3"
  timeout: 10
  connection_rate_limit: {config.handshakes_per_s}
}}
"""


def _accounts(config: BusConfig) -> str:
    sys_user, bus_user = _quote(config.sys_user), _quote(config.bus_user)
    return f"""\
accounts {{
  {SYS_ACCOUNT} {{ users: [ {{ user: {sys_user} }} ] }}
  {BUS_ACCOUNT} {{
    users: [ {{
      user: {bus_user}
      permissions {{
        publish: [ "{subjects.ALL_CALLS}", "{subjects.ALL_TOLD}" ]
        subscribe: [ "{subjects.ALL_REPLIES}", "{subjects.ALL_EVENTS}", "{subjects.ALL_TOLD}" ]
      }}
    }} ]
  }}
}}
system_account: {SYS_ACCOUNT}
authorization {{
  timeout: {config.auth_timeout_s}
  auth_callout {{
    issuer: {config.issuer}
    account: {SYS_ACCOUNT}
    auth_users: [ {sys_user}, {bus_user} ]
  }}
}}
"""


def _cluster(config: BusConfig, cluster: Cluster) -> str:
    routes = ", ".join(_quote(f"nats://{route}") for route in cluster.routes)
    return f"""\
cluster {{
  name: {_quote(cluster.name)}
  listen: {_quote(cluster.listen)}
  routes: [ {routes} ]
  tls {{
    cert_file: {_quote(config.cert_file)}
    key_file: {_quote(config.key_file)}
    ca_file: {_quote(cluster.ca_file)}
    verify: true
    timeout: 5
  }}
}}
"""
