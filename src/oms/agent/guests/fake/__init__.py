"""Guests that are in memory alone: for tests, and for hosts that are simulated by the thousand.

Each keeps the port's Protocol in all but one thing: nothing runs.
"""

from oms.agent.guests.fake.containers import FakeContainers
from oms.agent.guests.fake.machines import FakeMachines
from oms.agent.guests.fake.rhythm import STILL, Rhythm

__all__ = ["STILL", "FakeContainers", "FakeMachines", "Rhythm"]
