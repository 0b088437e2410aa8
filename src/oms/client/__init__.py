"""The API from Python: an operation goes in, its answer comes out, or the contract's own error is raised.

async with Client("https://oms:8000", ca_sha256="9b1d...") as oms:
    await oms.login("anna", password)
    machines = await oms.call(kvm.ListVms(("cpu",)), host="node1")
"""

from oms.bus.pinning import NotOurs
from oms.client.client import Client
from oms.client.events import Gap
from oms.client.uploads import Sent
from oms.client.ways import ClientError, OutOfReach

__all__ = ["Client", "ClientError", "Gap", "NotOurs", "OutOfReach", "Sent"]
