"""A whole server for the tests of an agent's way in."""

from tests.server.fixtures import folder, oms, seed

__all__ = ["folder", "oms", "seed"]
