"""The host's network is seen from the loop that the agent runs on."""

import uvloop

from oms.agent.host import netlink


def test_the_network_is_seen_from_the_agents_own_loop() -> None:
    seen = uvloop.run(netlink.look())
    assert "lo" in [link.name for link in seen.links]
