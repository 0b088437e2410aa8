"""The named types of parameters and answers: one rule each, with the words that tell a person what is legal.

All names are plain ASCII and begin with a letter or a digit, so that no name is an option, a path, a pattern
or markup anywhere it may travel. Patterns are anchored with \\A and \\Z: `$` would let a line feed through.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class Secret:
    """A text that must never be shown: prints as dots, compares equal to nothing, is read by `reveal`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(•••)"

    __str__ = __repr__


def text(pattern: str, legal: str, longest: int, example: str, *, shortest: int = 1) -> Meta:
    """A rule for a text: the pattern that all of it must match, and the same in words."""
    return Meta(
        pattern=rf"\A(?:{pattern})\Z",
        min_length=shortest,
        max_length=longest,
        description=legal,
        examples=[example],
    )


_HOST = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
_HOST_IN_WORDS = "a host's name: lower-case letters, digits, hyphens and dots, at most 253 characters"
Hostname = Annotated[str, text(_HOST, _HOST_IN_WORDS, 253, "funcclient")]
"""The name under which a host was signed."""

AnyHost = Annotated[str, text(f"(?:{_HOST})?", f"{_HOST_IN_WORDS}; or nothing", 253, "funcclient", shortest=0)]
"""The same, or an empty text for all of them."""

VmName = Annotated[
    str,
    text(
        r"[A-Za-z0-9][A-Za-z0-9._+-]*",
        "a machine's name or UUID: letters, digits and . _ + -, first a letter or digit, at most 63",
        63,
        "openfiler",
    ),
]
"""A machine's name. Machines that were made elsewhere with a wilder name are addressed by their UUID."""

_ContainerNumber = Annotated[int, Meta(ge=1, le=2**31 - 1)]
_ContainerName = Annotated[str, Meta(pattern=r"\A(?:[A-Za-z0-9][A-Za-z0-9._+-]*)\Z", min_length=1, max_length=63)]
ContainerId = Annotated[
    _ContainerNumber | _ContainerName,
    Meta(
        description="a container's id: a whole number from 1 on, or the same as a text, or the name of one that "
        "was made without OMS: letters, digits and . _ + -, first a letter or digit, at most 63",
        examples=["129"],
    ),
]
"""A container's id, as the document's clients write it: now a number, now digits."""

FileName = Annotated[
    str,
    text(
        r"[A-Za-z0-9][A-Za-z0-9._+-]*",
        "a file's name: letters, digits and . _ + -, first a letter or digit, at most 200 characters",
        200,
        "testimage.img",
    ),
]
"""The name of an image in its directory: never a path, never a protocol, never hidden."""

DiskFormat = Annotated[
    Literal["qcow2", "raw"],
    Meta(
        description="`qcow2`, which can stand upon another image, or `raw`, the disk byte by byte",
        examples=["qcow2"],
    ),
]
"""How a disk image holds its disk."""

UserName = Annotated[
    str,
    text(
        r"[A-Za-z0-9][A-Za-z0-9._@-]*",
        "a user's name: letters, digits and . _ @ -, first a letter or digit, at most 64 characters",
        64,
        "admin",
    ),
]

LoginName = Annotated[str, Meta(max_length=1024, description="the user's name", examples=["username"])]
"""A user's name as typed at the login: any text, so that what is wrong with it is not told apart."""

Password = Annotated[Secret, Meta(description="the password, at most 1024 characters", examples=["password"])]

_TAG = r"[A-Za-z0-9](?:[A-Za-z0-9 ._:+-]*[A-Za-z0-9._:+-])?"
TagName = Annotated[
    str,
    text(
        _TAG,
        "a tag: letters, digits, blanks inside and . _ : + -, first a letter or digit, at most 63 characters",
        63,
        "OpenNode",
    ),
]

AnyTag = Annotated[
    str, text(f"(?:{_TAG})?", "a tag that what is listed must bear, or nothing", 63, "OpenNode", shortest=0)
]
"""The same, or an empty text for whatever it bears."""

TAG_FILTER = "tag:"
"""Before a tag among a list's statistics: only what bears that tag is listed."""


def or_tag(words: tuple[str, ...], legal: str, example: str) -> Meta:
    """A rule for one of these words, or a tag by which a list is filtered."""
    return text(
        rf"{'|'.join(words)}|{TAG_FILTER}{_TAG}",
        f"{legal}, one of {', '.join(words)}; or `{TAG_FILTER}` and a tag, as in `{TAG_FILTER}web`: only what "
        "bears all such tags is listed",
        len(TAG_FILTER) + 63,
        example,
    )


TaskId = Annotated[
    str,
    text(r"[0-9a-f]{32}", "a job's id: 32 hexadecimal digits", 32, "0123456789abcdef0123456789abcdef"),
]

SettingValue = Annotated[str, Meta(max_length=4096, description="a text of at most 4096 characters")] | int
"""A setting's value: the document's clients send numbers as text, others as numbers."""

NOTHING_MORE = 2**31 - 1
CacheTimeout = Annotated[
    int,
    Meta(
        ge=0,
        le=NOTHING_MORE,
        description="whole seconds, 0 or more: how old a recorded answer may be; 0 asks the host",
        examples=[0],
    ),
]


def decode_secret(kind: type[Any], value: Any) -> Any:
    """msgspec's hook for `Secret`: takes text of at most 1024 characters."""
    if kind is not Secret:
        raise NotImplementedError
    if not isinstance(value, str):
        raise msgspec.ValidationError("Expected `str`")
    if len(value) > 1024:
        raise msgspec.ValidationError("Expected `str` of length <= 1024")
    return Secret(value)


def encode_secret(value: Any) -> Any:
    """msgspec's hook for the way to a host, the one place where a secret is written out."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")
