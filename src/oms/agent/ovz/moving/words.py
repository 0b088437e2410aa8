"""What the two hosts of a move say to each other."""

from typing import Annotated

import msgspec

from oms.agent.guests.containers import ContainerSettings
from oms.contract.errors import WireError

STREAM = "words"
LONGEST_WORD = 253
Word = Annotated[str, msgspec.Meta(max_length=LONGEST_WORD)]


class Offer(msgspec.Struct, frozen=True, tag=True):
    """The container: what it is given, and its interface: on the bridge of that name, or routed where that is "".
    `used_kb`: of its files; `memory_kb`: what it uses now, 0 where it is off."""

    settings: ContainerSettings
    bridge: Word
    mac: Word
    used_kb: int
    memory_kb: int
    runs: bool


class Ready(msgspec.Struct, frozen=True, tag=True):
    """It may come. `notes` say what will be other there, by what."""

    notes: dict[str, str]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It may not, or not any more, and nothing of it is here."""

    error: WireError


class Pass(msgspec.Struct, frozen=True, tag=True):
    """Take what has changed, from the stream of that number."""

    number: Annotated[int, msgspec.Meta(ge=1, le=99)]


class Taken(msgspec.Struct, frozen=True, tag=True):
    """That is here."""


class Whole(msgspec.Struct, frozen=True, tag=True):
    """That was all of it."""


class Kept(msgspec.Struct, frozen=True, tag=True):
    """All of it is on the disk."""


class Commit(msgspec.Struct, frozen=True, tag=True):
    """It is yours."""


class Here(msgspec.Struct, frozen=True, tag=True):
    """It is here for good, and runs if it ran."""


class Abort(msgspec.Struct, frozen=True, tag=True):
    """It stays where it was: drop what came."""


class Dropped(msgspec.Struct, frozen=True, tag=True):
    """Nothing of it is here any more."""


FromThere = Offer | Pass | Whole | Commit | Abort
"""What the side says that it leaves."""
FromHere = Ready | Refused | Taken | Kept | Here | Dropped
"""What is answered."""


def stream_of(number: int) -> str:
    """The stream of a pass."""
    return f"files {number}"
