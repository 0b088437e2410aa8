"""The names and addresses by which this server is known. Some of them only the network tells, which may be late
when the machine boots: what it told last is remembered, and holds for as long as it tells nothing."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from oms import durable
from oms.server.config import ServerConfig
from oms.settings import address

EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - what the settings say
PROBES = ((socket.AF_INET, EVERYWHERE, "192.0.2.1"), (socket.AF_INET6, {"::"}, "2001:db8::1"))


class Told(msgspec.Struct, frozen=True):
    """What the network tells: this machine's name with its domain, and the addresses from which it speaks to
    others, where all are listened on. Empty where it tells nothing."""

    name: str = ""
    addresses: tuple[str, ...] = ()


def ask(config: ServerConfig) -> Told:
    """Ask it now, and remember. Blocks for as long as it takes. Raises OSError."""
    file, before, everywhere = _file(config), last(config), listened(config) & EVERYWHERE
    name = socket.getfqdn().lower()
    if "." not in name:
        name = before.name if before.name.startswith(f"{socket.gethostname().lower()}.") else ""
    found = Told(name, tuple(_addresses(everywhere)) or (before.addresses if everywhere else ()))
    if found != before:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.write_whole(file, msgspec.json.encode(found))
    return found


def last(config: ServerConfig) -> Told:
    """What it told last."""
    try:
        return msgspec.json.decode(_file(config).read_bytes(), type=Told)
    except (OSError, msgspec.MsgspecError):
        return Told()


def names(config: ServerConfig, told: Told) -> tuple[str, ...]:
    """Every host name this server goes by."""
    own = (*config.names, socket.gethostname().lower(), told.name, "localhost")
    return tuple(dict.fromkeys(name for name in own if name))


def listened(config: ServerConfig) -> set[str]:
    """The addresses of the settings at which hosts and callers come."""
    return {address(config.listen)[0], address(config.bus_listen)[0]}


def _file(config: ServerConfig) -> Path:
    return config.home / "tls" / "whereabouts.json"


def _addresses(everywhere: set[str]) -> Iterator[str]:
    for family, where, far in PROBES:
        if where & everywhere:
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((far, 9))  # nothing is sent
                yield probe.getsockname()[0]
