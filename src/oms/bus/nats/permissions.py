"""What a host may do on the bus. Pure: one value, which nats-server enforces on every message.

Everything that is not named here is refused and logged by nats-server: other hosts' calls and events, OMS's
answers, inboxes, `$SYS`, JetStream.
"""

from typing import Any

from oms.bus.nats import subjects


def host_permissions(host_id: str) -> dict[str, Any]:
    """The limits of one host's connection, as they stand in its user token."""
    return {
        "sub": {"allow": [subjects.calls_of(host_id)]},
        "pub": {"allow": [subjects.events_of(host_id), subjects.replies_of(host_id)]},
        "subs": 4,  # the agent needs one
        "data": -1,
        "payload": -1,  # the bus's own max_payload stands
        "allowed_connection_types": ["STANDARD"],  # no websocket, MQTT or leaf node
    }
