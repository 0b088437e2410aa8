"""Events of accounts and of what people have open: for administrators, and the person himself."""

from typing import Literal

import msgspec

from oms.contract.event.shape import Event, NoData
from oms.contract.operation import Permission


class OfAccounts(Event, frozen=True, kw_only=True):
    """For administrators, and the person himself."""

    seen_by = Permission.ADMIN
    ones_own = True


class AccountRole(msgspec.Struct, frozen=True):
    """The role that an account has now."""

    role: Literal["viewer", "operator", "admin"]


class AccountChange(msgspec.Struct, frozen=True):
    """What is another: `role`, `password`."""

    what: list[Literal["role", "password"]]


class SessionData(msgspec.Struct, frozen=True):
    """A session's id, as in `list_sessions`, and from where it was begun."""

    session: str
    address: str


class TokenData(msgspec.Struct, frozen=True):
    """A token's id and label, as in `list_tokens`."""

    token: str
    label: str


class UserAdded(OfAccounts, frozen=True, kw_only=True, tag="user.added"):
    """There is an account that there was not."""

    data: AccountRole


class UserChanged(OfAccounts, frozen=True, kw_only=True, tag="user.changed"):
    """An account has another role or password."""

    data: AccountChange


class UserRemoved(OfAccounts, frozen=True, kw_only=True, tag="user.removed"):
    """There is an account no longer, nor its sessions and tokens."""

    data: NoData


class SessionBegun(OfAccounts, frozen=True, kw_only=True, tag="session.begun"):
    """Somebody has logged in."""

    data: SessionData


class SessionEnded(OfAccounts, frozen=True, kw_only=True, tag="session.ended"):
    """A session is over."""

    data: SessionData


class TokenMade(OfAccounts, frozen=True, kw_only=True, tag="token.made"):
    """An account has another token."""

    data: TokenData


class TokenEnded(OfAccounts, frozen=True, kw_only=True, tag="token.ended"):
    """A token was revoked, or its time is over."""

    data: TokenData


# --- consoles


class ConsoleData(msgspec.Struct, frozen=True):
    """A console's id and kind, as in `list_consoles`; `of` is the guest as its opener called it, or ""."""

    console: str
    kind: Literal["vnc", "text", "ssh"]
    of: str


class ConsoleOpened(OfAccounts, frozen=True, kw_only=True, tag="console.opened"):
    """A console is open, or is another user's now."""

    data: ConsoleData


class ConsoleClosed(OfAccounts, frozen=True, kw_only=True, tag="console.closed"):
    """A console was closed."""

    data: ConsoleData
