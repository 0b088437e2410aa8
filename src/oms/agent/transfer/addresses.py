"""Which web addresses a host may be sent to. Pure.

Whoever may name an address must not by that reach what only this host reaches: its own services, its neighbours,
the address where clouds keep their secrets. So an address in numbers is looked at, after the name was looked up,
and the connection is made to that very address.
"""

import ipaddress
import re
from urllib.parse import urljoin, urlsplit

import msgspec

from oms.contract.errors import NotFetched

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS = {"http": 80, "https": 443}
_UNICAST = ipaddress.IPv6Network("2000::/3")  # RFC 4291: all else is for a link, a site, or nobody
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address behind a translator
_RELAYS = ipaddress.IPv4Network("192.88.99.0/24")  # RFC 7526: of which there are no more
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\.?")


class Place(msgspec.Struct, frozen=True):
    """A web address in its parts. `target` is what is asked of the server."""

    scheme: str
    host: str
    port: int
    target: str
    url: str


def place(url: str, *, since: "Place | None" = None) -> Place:
    """The parts of an address; `since`: of one that a server sends us on to. Raises NotFetched."""
    joined = urljoin(since.url, url) if since else url
    try:
        parts = urlsplit(joined)
        port = parts.port
    except ValueError as wrong:
        raise NotFetched(f"{joined!r} is no web address: {wrong}") from wrong
    host = parts.hostname or ""
    if parts.scheme not in PORTS or not joined.isascii() or not joined.isprintable() or " " in joined:
        raise NotFetched(f"{joined[:200]!r} is no web address: legal is https://... and http://...")
    if since is not None and since.scheme == "https" and parts.scheme == "http":
        raise NotFetched(f"{since.url} sends on from https to http, where nobody vouches for what comes")
    if parts.username is not None or parts.password is not None:
        raise NotFetched("A web address holds no name and password: they would stand in every log")
    if not (_NAME.fullmatch(host) or _is_number(host)):
        raise NotFetched(f"{host[:200]!r} is no host's name")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme, host, port or PORTS[parts.scheme], target, joined)


def allowed(found: list[str], where: Place, *, private: bool) -> list[str]:
    """Those of a name's addresses that may be connected to. Raises NotFetched where none may."""
    chosen = [text for text in found if private or is_public(ipaddress.ip_address(text.partition("%")[0]))]
    if not chosen:
        raise NotFetched(
            f"{where.host} has no address in the public internet ({', '.join(found) or 'none at all'}), and from "
            "others nothing is fetched (the host's setting fetch_private allows it)"
        )
    return chosen


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, whichever way it is written."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not (address.is_multicast or address.is_reserved or address in _RELAYS)
    inner = _inside(address)
    return is_public(inner) if inner is not None else address in _UNICAST and address.is_global


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host
