"""What a routed container may call itself: what comes out of its interface with an address that is not routed into
it is dropped, before anything else looks at it.

One rule of nftables holds for all of them, those that start later and without the agent too: their interfaces are
told by their names, and their addresses by the host's routes. It stays when the agent ends, as containers do.

Source: the manual of nft, "FIB expressions", which has this as its example for reverse paths.
"""

from typing import Final

from oms.agent.guests.lxc.network import PAIR
from oms.agent.host.process import ProgramError, run

SECONDS: Final = 10.0
TABLE: Final = "inet oms_containers"
RULES: Final = f"""
add table {TABLE}; delete table {TABLE};
table {TABLE} {{
  chain sources {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{PAIR}*" ip6 saddr :: icmpv6 type nd-neighbor-solicit accept;
    iifname "{PAIR}*" fib saddr . iif oif missing counter drop;
  }};
}}
"""
"""Replaced as a whole, in one step. An IPv6 host asks from no address whether its own is free."""


async def check() -> str:
    """Have them checked from now on; why that cannot be, or ""."""
    try:
        done = await run(["nft", " ".join(RULES.split())], timeout=SECONDS)
    except ProgramError as error:
        return error.message
    return done.words if done.exit else ""
