"""The typed table from operation to the plain async function that does it.

`handles` makes mypy --strict refuse a function whose operation or answer is of another type than declared: the
slot carries the operation's type twice, once exactly and once, covariantly, as `Operation[R]`.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

from oms.contract.operation import Operation

O = TypeVar("O", bound=Operation[Any])  # noqa: E741
P_co = TypeVar("P_co", bound=Operation[Any], covariant=True)
R = TypeVar("R")
C = TypeVar("C")

Handler = Callable[[Any, C], Awaitable[Any]]


class Slot(Generic[O, P_co, C]):
    """The place in a table where the handler of one operation belongs."""

    def __init__(self, table: dict[type[Operation[Any]], Handler[C]], operation: type[O]) -> None:
        self._table = table
        self._operation = operation

    def __call__(
        self: "Slot[O, Operation[R], C]", handler: Callable[[O, C], Awaitable[R]]
    ) -> Callable[[O, C], Awaitable[R]]:
        """Put the handler there; its name must be the method's."""
        name = getattr(handler, "__name__", "")
        if name != self._operation.facts.name:
            raise TypeError(f"the handler of {self._operation.facts.wire} must be called so, not {name}")
        if self._operation in self._table:
            raise TypeError(f"{self._operation.facts.wire} has a handler already")
        self._table[self._operation] = handler
        return handler


class Handlers(Generic[C]):
    """A table of handlers that take the operation and a context `C`."""

    def __init__(self) -> None:
        self._table: dict[type[Operation[Any]], Handler[C]] = {}

    def handles(self, operation: type[O]) -> Slot[O, O, C]:
        """Decorator: this function does that operation."""
        return Slot(self._table, operation)

    def find(self, operation: type[Operation[Any]]) -> Handler[C] | None:
        """The function for an operation, or None."""
        return self._table.get(operation)

    def include(self, other: "Handlers[C]") -> None:
        """Take over all of another table."""
        if twice := self._table.keys() & other._table.keys():
            raise TypeError(f"two handlers: {', '.join(t.facts.wire for t in twice)}")
        self._table.update(other._table)

    def __iter__(self) -> Iterator[type[Operation[Any]]]:
        return iter(self._table)
