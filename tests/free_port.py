"""Ports for servers that a test starts as processes of their own."""

import random
import socket

BELOW_EPHEMERAL = range(20_000, 32_000)
"""Linux gives none of these to a connection that goes out: one stays free while its server is started again."""


def free_port() -> int:
    """One of 127.0.0.1 that nobody has."""
    while True:
        number = random.SystemRandom().choice(BELOW_EPHEMERAL)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return number
