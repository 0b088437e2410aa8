"""A file of this host for another host's job: found by its kind and name, and nothing else can be asked for."""

from oms.agent import placing, shelf
from oms.agent.context import Storage
from oms.agent.transfer.relay import Relay
from oms.contract.errors import NotSupported
from oms.contract.internal import SendFile


async def send(relay: Relay, storage: Storage, op: SendFile) -> int:
    """Begin to send it; its size. Raises NotThere, NotSupported, HostBusy, FuncManError."""
    if op.kind != "iso":
        raise NotSupported(f"This host's agent sends no files of the kind {op.kind!r}.")
    file = shelf.find(storage.iso, op.name, "ISO image")
    with placing.told(storage.iso):
        return await relay.send(file, op.job, op.offset)
