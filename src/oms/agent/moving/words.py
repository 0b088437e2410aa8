"""What the two hosts of a move say to each other."""

from typing import Annotated, Literal

import msgspec

from oms.contract.errors import WireError
from oms.contract.types import DiskFormat

STREAM = "words"
Being = Literal["running", "paused", "off"]


class Medium(msgspec.Struct, frozen=True):
    """A file in one of the machine's drives: a disk `image`, an `iso` of the library, or the `seed` that OMS made
    for this machine. `at_home`: it lies in its host's directory of images. `size_bytes`: as the guest sees it;
    `used_bytes`: what it takes on the host's disk, or could, where it stands upon another."""

    target: str
    kind: Literal["image", "iso", "seed"]
    name: str
    format: DiskFormat = "raw"
    size_bytes: int = 0
    used_bytes: int = 0
    at_home: bool = True


class Offer(msgspec.Struct, frozen=True, tag=True):
    """The machine. `live`: its definition as it runs, "" where it is off; `kept`: for its next start. `images` and
    `nonce`: what another host sees if it has the very same directory, below the name of the job."""

    job: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    being: Being
    live: str
    kept: str
    autostart: bool
    memory_kb: int
    media: tuple[Medium, ...]
    images: str
    nonce: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """It may come, by that definition; of its drives these are to be copied, the others are there."""

    definition: str
    copied: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It may not, and nothing of it is here."""

    error: WireError


class Sent(msgspec.Struct, frozen=True, tag=True):
    """All files have gone."""


class Whole(msgspec.Struct, frozen=True, tag=True):
    """They have all come."""


class Commit(msgspec.Struct, frozen=True, tag=True):
    """It is yours: let it go on."""


class Here(msgspec.Struct, frozen=True, tag=True):
    """It is here for good."""


class Abort(msgspec.Struct, frozen=True, tag=True):
    """It stays where it was: drop what came."""


class Dropped(msgspec.Struct, frozen=True, tag=True):
    """Nothing of it is here any more."""


FromThere = Offer | Sent | Commit | Abort
"""What the side says that it leaves."""
FromHere = Ready | Refused | Whole | Here | Dropped
"""What is answered."""
