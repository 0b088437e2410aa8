"""What may have been meant by a name that is not there."""

import difflib
from collections.abc import Collection, Iterable
from typing import Any

from oms.client import Client, ClientError
from oms.contract import func, kvm, ovz
from oms.contract.decode import Decoded
from oms.contract.errors import HostUnavailable, NoSuchContainer, NoSuchMachine, NotThere, OmsError

OLDEST_SECONDS = 60
CUTOFF = 0.5
"""Names are short: one wrong letter of two is a near miss."""


async def explained(client: Client, error: OmsError, asked: Decoded) -> OmsError:
    """The error of a call, with what may have been meant."""
    given = (getattr(asked.op, name) for name in asked.op.__struct_fields__)
    names = [asked.host, *(value for value in given if isinstance(value, str))]
    error.message = await meant(client, error, asked.host, names)
    return error


async def meant(client: Client, error: OmsError, host: str, names: Iterable[str]) -> str:
    """The error's words, and a sentence more that names the nearest. `names` are those that were given in the
    call."""
    return with_near(error.message, await _near(client, error, host, names))


def with_near(message: str, near: str) -> str:
    """The words, and the nearest where there is one."""
    return f"{message.rstrip('.')}. Did you mean {near}?" if near else message


def nearest(names: Iterable[str], known: Collection[str]) -> str:
    """The name that is nearest to one of these which is not known; nothing where none is near."""
    for name in names:
        if name and name not in known and (near := difflib.get_close_matches(name, known, 1, CUTOFF)):
            return near[0]
    return ""


async def _near(client: Client, error: OmsError, host: str, names: Iterable[str]) -> str:
    if not isinstance(error, (HostUnavailable, NoSuchMachine, NotThere)):
        return ""
    try:
        known = await _known(client, error, host)
    except (OmsError, ClientError):
        return ""
    return nearest(names, known)


async def _known(client: Client, error: OmsError, host: str) -> list[str]:
    if isinstance(error, NoSuchMachine):
        listing: Any = ovz.ListVmsStatus() if isinstance(error, NoSuchContainer) else kvm.ListVmsStatus()
        return list(await client.call(listing, host=host, cache_timeout=OLDEST_SECONDS))
    return [found.name for found in await client.call(func.ListSigned())]
