"""Whose doing a connection is, as far as its address tells: what is counted per address is counted per this."""

import ipaddress

ONES_OWN_BITS = 64
"""Of an IPv6 address: all with the same first half are one household's or one machine's, to use as it likes."""


def neighbourhood(address: str) -> str:
    """The address itself, or its network where one caller has a whole network to call from."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, ONES_OWN_BITS), strict=False))
