"""This host's SSH server, as OMS needs to know it: where it is, and by which keys it is known."""

import re
from pathlib import Path

import msgspec

from oms.agent.host.links import own_address
from oms.settings import joined

PORT = 22
LARGEST_KEY_BYTES = 8192
_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) [A-Za-z0-9+/]+={0,2}")
"""A public key in OpenSSH's form, its comment left out."""


class SshServer(msgspec.Struct, frozen=True):
    """`address` as host:port, `keys` as in a known-hosts file; both empty where there is none."""

    address: str = ""
    keys: tuple[str, ...] = ()


NO_SSH = SshServer()


def found(given: str, server: str, keys: Path) -> SshServer:
    """This host's, for OMS at the address `server`."""
    known = host_keys(keys)
    return SshServer(address(given, server), known) if known else NO_SSH


def host_keys(directory: Path) -> tuple[str, ...]:
    """The public keys of the SSH server, one line each, its name and its body; none where there is no server."""
    found = []
    for file in sorted(directory.glob("ssh_host_*_key.pub")):
        try:
            text = file.read_text()[:LARGEST_KEY_BYTES]
        except (OSError, UnicodeError):
            continue
        if key := _KEY.match(text):
            found.append(key.group())
    return tuple(found)


def address(given: str, server: str) -> str:
    """`host:port` of the SSH server for OMS at the address `server`; "" where that cannot be told.

    What an administrator has given comes first, with or without its port. Else it is this host's own address on
    the way to OMS.
    """
    host, port = _parts(given)
    if host:
        return f"{host}:{port}"
    own = own_address(server)
    return joined(own, port) if own else ""


def _parts(given: str) -> tuple[str, int]:
    """`host`, `host:port`, `:port` or nothing."""
    host, colon, port = given.rpartition(":")
    if not colon or given.endswith("]"):
        return given, PORT
    return host, int(port) if port.isascii() and port.isdigit() else PORT
