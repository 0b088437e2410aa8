"""What an API method is: a frozen value.

Its fields are the parameters, its base class says who answers and what the caller puts in front of them, its
decorator states the facts from which everything else is derived.
"""

import enum
import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from oms.contract.errors import OmsError
from oms.contract.partly import Partly
from oms.contract.types import CacheTimeout, Hostname

R_co = TypeVar("R_co", covariant=True)
O = TypeVar("O", bound="type[Operation[Any]]")  # noqa: E741 - the letter of the house for an operation


class Permission(enum.IntEnum):
    """The least role that may call. A higher role may do all that a lower one may."""

    NOBODY = 0
    """Needs no session."""
    VIEWER = 1
    """Reads."""
    OPERATOR = 2
    """Guests and their consoles."""
    ADMIN = 3
    """Hosts, users, networks."""


class Service(msgspec.Struct, frozen=True):
    """A group of methods under one name on the wire."""

    name: str
    heading: str
    summary: str
    aliases: tuple[str, ...] = ()
    answers: Literal["func", "auth"] = "func"
    one_at_a_time: bool = False
    """Whether a host makes its changes one after the other, whatever they change."""


class Param(msgspec.Struct, frozen=True):
    """One parameter as the caller sees it, in its place."""

    name: str
    type: Any
    required: bool
    varargs: bool = False


class Facts(msgspec.Struct, frozen=True):
    """All that is known of an operation besides its own fields."""

    service: Service
    name: str
    permission: Permission
    timeout: float
    """Seconds the caller waits for the outcome, and a job may wait to be begun."""
    changes: bool
    """Whether it changes anything. What changes a host is a job."""
    raises: tuple[type[OmsError], ...]
    aliases: tuple[str, ...]
    answers: Literal["func", "auth", "tmp_cache"]
    varargs: bool
    """Whether the last field takes all the positional parameters that are left."""
    host_field: str
    target: str | None
    """The field that names the guest or thing which the operation changes, one at a time."""
    lane: Service
    """Whose guest or thing that is: the operation's own service, or the one it stands in for."""
    result: Any
    """The type of the answer."""
    partly: bool
    """Whether that is a `Partly`, of which parts may be missing."""
    params: tuple[Param, ...]
    summary: str
    document: str

    def queue(self, target: str) -> str:
        """The lane, by name, in which a host makes such changes of a target."""
        return f"{self.lane.name}/{'' if self.lane.one_at_a_time else target}"

    @property
    def wire(self) -> str:
        """`service.method`, the name in JSON-RPC 2.0, in records and on the bus."""
        return f"{self.service.name}.{self.name}"

    @property
    def answer(self) -> Any:
        """The type of the answer itself, out of all envelopes."""
        return typing.get_args(self.result)[0] if self.partly else self.result


class Operation(msgspec.Struct, Generic[R_co], frozen=True):
    """One call of one method, without what stands in front. `R_co` is the type of its answer."""

    facts: ClassVar[Facts]
    front: ClassVar[tuple[Param, ...]] = ()


SESSID = Param(
    "SESSID",
    Annotated[str, Meta(description="the session id that `authenticate` answered", examples=["SESSID"])],
    True,
)
CACHE_TIMEOUT = Param("cache_timeout", CacheTimeout, True)


class OpenOperation(Operation[R_co], frozen=True):
    """Answered by OMS to anybody; nothing stands in front."""


class SessionOperation(Operation[R_co], frozen=True):
    """Answered by OMS; `SESSID` stands in front."""

    front = (SESSID,)


class ServerOperation(Operation[R_co], frozen=True):
    """Answered by OMS; `SESSID, cache_timeout` stand in front."""

    front = (SESSID, CACHE_TIMEOUT)


class HostOperation(Operation[R_co], frozen=True):
    """Answered by a host; `SESSID, cache_timeout, host` stand in front, and the answer names the host."""

    front = (SESSID, CACHE_TIMEOUT)


def operation(
    service: Service,
    permission: Permission,
    *,
    timeout: float = 15,
    changes: bool = False,
    raises: tuple[type[OmsError], ...] = (),
    aliases: tuple[str, ...] = (),
    answers: Literal["func", "auth", "tmp_cache"] | None = None,
    varargs: bool = False,
    host_field: str = "server_hostname",
    target: str | None = None,
    lane: Service | None = None,
) -> Callable[[O], O]:
    """State the facts of an operation. Refuses, at import, one without a description or a described field."""

    def state(cls: O) -> O:
        if not cls.__doc__:
            raise TypeError(f"{cls.__name__} needs a docstring: it is the method's published description")
        fields = tuple(_fields(cls, varargs))
        front = cls.front
        if issubclass(cls, HostOperation):
            front = (*front, Param(host_field, Hostname, True))
        document = inspect.cleandoc(cls.__doc__)
        result = _result(cls)
        cls.facts = Facts(
            service=service,
            name=snake(cls.__name__),
            permission=permission,
            timeout=timeout,
            changes=changes,
            raises=raises,
            aliases=aliases,
            answers=answers or service.answers,
            varargs=varargs,
            host_field=host_field,
            target=target,
            lane=lane or service,
            result=result,
            partly=typing.get_origin(result) is Partly,
            params=(*front, *fields),
            summary=document.partition("\n")[0],
            document=document,
        )
        return cls

    return state


@functools.cache
def signature(kind: "type[Operation[Any]]") -> str:
    """`service.method(SESSID, cache_timeout, host, [optional], rest...)`."""
    words = []
    for param in kind.facts.params:
        word = f"{param.name}..." if param.varargs else param.name
        words.append(word if param.required else f"[{word}]")
    return f"{kind.facts.wire}({', '.join(words)})"


def snake(name: str) -> str:
    """`ListVmsStatus` -> `list_vms_status`."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def _fields(cls: "type[Operation[Any]]", varargs: bool) -> Iterator[Param]:
    hints = typing.get_type_hints(cls, include_extras=True)
    names = cls.__struct_fields__
    required = len(names) - len(cls.__struct_defaults__)
    for place, name in enumerate(names):
        last = place == len(names) - 1
        kind = typing.get_args(hints[name])[0] if varargs and last else hints[name]
        yield Param(name, kind, place < required, varargs and last)


def _result(cls: "type[Operation[Any]]") -> Any:
    for origin in vars(cls).get("__orig_bases__", ()):
        if args := typing.get_args(origin):
            return args[0]
    raise TypeError(f"{cls.__name__} must be declared directly from one of the bases, as in HostOperation[int]")
