"""The settings that are for the guest itself, by cloud-init: which are legal. Pure."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from oms.agent.templates.words import Refused, shown

DHCP: Final = "dhcp"
LONGEST_PASSWORD: Final = 128
MOST_KEYS: Final = 32
LONGEST_KEY: Final = 8192
MOST_SERVERS: Final = 3  # resolv.conf(5), MAXNS
LONGEST_USER_DATA: Final = 64 * 1024
USER_DATA_BEGINNINGS: Final = (
    "#cloud-config", "#!", "#include", "#cloud-boothook", "#part-handler", "## template: jinja", "Content-Type:",
    "MIME-Version:",
)  # fmt: skip
"""What tells cloud-init of which kind its user data is."""
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_KEY = re.compile(
    r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9@.-]{1,60}) "
    r"[A-Za-z0-9+/]{40,}={0,2}(?: [ -~]{0,256})?"
)


class GuestSettings(msgspec.Struct, frozen=True):
    """What the guest is to be told; "" and () where nothing was said."""

    hostname: str = ""
    passwd: str = msgspec.field(default="")
    ssh_keys: tuple[str, ...] = ()
    ip_address: str = ""
    """`dhcp`, or an address with the length of its network's prefix."""
    gateway: str = ""
    nameserver: tuple[str, ...] = ()
    user_data: str = ""

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return any(getattr(self, name) for name in self.__struct_fields__)

    def __repr__(self) -> str:
        """Without its secrets."""
        return f"GuestSettings(hostname={self.hostname!r}, ...)"


def is_fixed(ip_address: str) -> bool:
    """Whether an accepted `ip_address` is one of the machine's own."""
    return ip_address not in ("", DHCP)


def _hostname(value: Any) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not _HOSTNAME.fullmatch(value):
        raise Refused(f"A host name is letters, digits, hyphens and dots; got {shown(value)}")
    return value


def _passwd(value: Any) -> str:
    """The value itself is never repeated."""
    if not isinstance(value, str) or len(value) > LONGEST_PASSWORD or not (value.isprintable() or not value):
        raise Refused(f"A password has 1 to {LONGEST_PASSWORD} characters that can be seen")
    return value


def _ssh_keys(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_KEYS:
        raise Refused(f"ssh_keys are a list of at most {MOST_KEYS} public keys; got {shown(value)}")
    for key in value:
        if not isinstance(key, str) or len(key) > LONGEST_KEY or not _KEY.fullmatch(key):
            raise Refused(
                f"An SSH key is one line of OpenSSH's form, as in `ssh-ed25519 AAAA... name`; got {shown(key)}"
            )
    return tuple(value)


def _ip_address(value: Any) -> str:
    if value in ("", DHCP):
        return str(value)
    try:
        found = (
            ipaddress.ip_interface(value) if isinstance(value, str) and "/" in value and "%" not in value else None
        )
    except ValueError:
        found = None
    if found is None or found.is_multicast or found.is_unspecified or found.is_loopback:
        raise Refused(
            f"ip_address must be dhcp, or an address with its prefix as in 192.168.0.5/24; got {shown(value)}"
        )
    return found.with_prefixlen


def _gateway(value: Any) -> str:
    return "" if value == "" else _address("gateway", value)


def _nameserver(value: Any) -> tuple[str, ...]:
    servers = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(servers, list) or len(servers) > MOST_SERVERS:
        raise Refused(
            f"nameserver is one address, or up to {MOST_SERVERS} with blanks between; got {shown(value)}"
        )
    return tuple(_address("nameserver", server) for server in servers)


def _user_data(value: Any) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_USER_DATA or not value.startswith(USER_DATA_BEGINNINGS):
        raise Refused(
            f"user_data is a text of at most {LONGEST_USER_DATA} characters that begins with one of "
            f"{', '.join(USER_DATA_BEGINNINGS)}"
        )
    return value


def _address(noun: str, value: Any) -> str:
    try:
        return (
            str(ipaddress.ip_address(value)) if isinstance(value, str) and "%" not in value else _no(noun, value)
        )
    except ValueError:
        return _no(noun, value)


def _no(noun: str, value: Any) -> str:
    raise Refused(f"{noun} must be an address as in 192.168.0.1, got {shown(value)}")


JUDGES: Final[dict[str, Callable[[Any], Any]]] = {
    "hostname": _hostname,
    "passwd": _passwd,
    "ssh_keys": _ssh_keys,
    "ip_address": _ip_address,
    "gateway": _gateway,
    "nameserver": _nameserver,
    "user_data": _user_data,
}
