"""A file of this host for another host's job: found by its kind and name, and nothing else can be asked for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from oms.agent import placing, shelf
from oms.agent.context import Storage
from oms.agent.rootfs import catalogue
from oms.agent.templates import package
from oms.agent.transfer.relay import Relay
from oms.contract.errors import NotSupported
from oms.contract.internal import SendFile


class Sent(msgspec.Struct, frozen=True):
    """Where the files of a kind lie, what people call one, and the endings that its name may have there."""

    directory: Callable[[Storage], Path]
    noun: str
    endings: tuple[str, ...] = ("",)


KINDS: Final = {
    "iso": Sent(lambda storage: storage.iso, "ISO image"),
    "template": Sent(lambda storage: storage.templates, "template in one archive", (package.ARCHIVE,)),
    "rootfs": Sent(lambda storage: storage.rootfs, "container template in one archive", catalogue.ENDINGS),
}
"""Each kind of files that is sent, by the word for it between OMS and its agents."""


async def send(relay: Relay, storage: Storage, op: SendFile) -> int:
    """Begin to send it; its size. Raises NotThere, NotSupported, HostBusy, FuncManError."""
    if (kind := KINDS.get(op.kind)) is None:
        raise NotSupported(f"This host's agent sends no files of the kind {op.kind!r}.")
    directory = kind.directory(storage)
    names = [f"{op.name}{ending}" for ending in kind.endings]
    there = (name for name in names if os.path.lexists(shelf.path_of(directory, name)))
    file = shelf.find(directory, next(there, names[0]), kind.noun)
    with placing.told(directory):
        return await relay.send(file, op.job, op.offset)
