"""UserService: accounts, their roles, what is logged in, and tokens for programs."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from oms.contract.errors import AuthError, FuncManError
from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import Password, UserName, text

SERVICE = Service(
    "userservices",
    "UserService",
    "Accounts with a role each: viewer reads, operator also runs guests, admin also runs hosts and accounts. "
    "Everybody sees and changes what is his own; an administrator, what is anybody's.",
)

_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]*"
_NAME_IN_WORDS = "a user's name: letters, digits and . _ @ -, first a letter or digit, at most 64 characters"
Somebody = Annotated[str, text(_NAME, _NAME_IN_WORDS, 64, "anna")]
"""A user's name; in examples one who is not there."""

AnyUser = Annotated[str, text(f"(?:{_NAME})?", f"{_NAME_IN_WORDS}; or nothing", 64, "anna", shortest=0)]
"""The same, or an empty text."""

Role = Annotated[
    Literal["viewer", "operator", "admin"],
    Meta(description="`viewer`, `operator` or `admin`", examples=["operator"]),
]

NewPassword = Annotated[
    Password,
    Meta(
        description="a new password: 12 to 1024 characters, none that is known or easily guessed",
        examples=["a password of many words"],
    ),
]

OptionalSessionId = Annotated[
    str,
    text(
        r"(?:[0-9a-f]{16})?",
        "a session's id as list_sessions tells it, 16 hexadecimal digits, or nothing",
        16,
        "0123456789abcdef",
        shortest=0,
    ),
]

TokenId = Annotated[str, text(r"[0-9a-f]{16}", "a token's id, 16 hexadecimal digits", 16, "0123456789abcdef")]

Label = Annotated[
    str,
    text(
        r"[A-Za-z0-9](?:[A-Za-z0-9 ._:@+-]*[A-Za-z0-9._:@+-])?",
        "what a token is for: letters, digits, blanks inside and . _ : @ + -, first a letter or digit, at most 64",
        64,
        "backup",
    ),
]

Days = Annotated[int, Meta(ge=1, le=366, description="days until it expires, 1 to 366", examples=[90])]

Source = Literal["local", "pam", "ldap"]
"""Who knows the password: OMS itself, this machine's PAM, a directory."""


class NoSuchUser(FuncManError):
    """There is no account of that name."""

    reason = "no_such_user"


class UserExists(FuncManError):
    """There is an account of that name already."""

    reason = "user_exists"


class LastAdministrator(FuncManError):
    """It is the last administrator whose password OMS itself knows: without him nobody could let anybody in."""

    reason = "last_administrator"


class WeakPassword(FuncManError):
    """A new password is too short, well known, or easily guessed; nothing was changed."""

    reason = "weak_password"


class OutsideUser(FuncManError):
    """Password and role of that account are kept outside of OMS, and are changed there."""

    reason = "outside_user"


class NoSuchToken(FuncManError):
    """There is no token of that id."""

    reason = "no_such_token"


class NoSuchSession(FuncManError):
    """There is no session of that id."""

    reason = "no_such_session"


class TooManyTokens(FuncManError):
    """The account has as many tokens as it may."""

    reason = "too_many_tokens"


class User(msgspec.Struct, frozen=True):
    """An account. Times are RFC 3339 in UTC, empty where there is none yet."""

    name: str
    role: Role
    source: Source
    must_change_password: bool
    created: str
    last_login: str
    sessions: int
    tokens: int


class Whoever(msgspec.Struct, frozen=True):
    """Who calls. `role` is what the session or token may do; `token` its id, empty for a session."""

    name: str
    role: Role
    source: Source
    must_change_password: bool
    token: str


class LoginSession(msgspec.Struct, frozen=True):
    """Somebody who is logged in. `id` is no SESSID: it ends the session and nothing more. Times are RFC 3339."""

    id: str
    user: str
    address: str
    created: str
    last_used: str
    current: bool


class Token(msgspec.Struct, frozen=True):
    """A token as it is shown later. `role` is what it may do now: never more than its owner. Times are RFC
    3339."""

    id: str
    user: str
    label: str
    role: Role
    created: str
    expires: str
    last_used: str


class NewToken(msgspec.Struct, frozen=True):
    """A token as it is shown once: `token` stands for a SESSID, or behind `Authorization: Bearer`."""

    id: str
    token: str
    expires: str


@operation(SERVICE, Permission.VIEWER)
class Whoami(ServerOperation[Whoever], frozen=True):
    """Tell who calls, with which role, and whether the password must be changed first."""


@operation(SERVICE, Permission.ADMIN)
class ListUsers(ServerOperation[list[User]], frozen=True):
    """List all accounts by name, those from outside that were here once included."""


@operation(SERVICE, Permission.ADMIN, changes=True, raises=(UserExists, WeakPassword))
class AddUser(ServerOperation[int], frozen=True):
    """Add an account; answers 0.

    Its user has to change the password, which two people know, at the first login.
    """

    user_name: UserName
    new_password: NewPassword
    role: Role = "viewer"


@operation(SERVICE, Permission.ADMIN, changes=True, raises=(NoSuchUser, LastAdministrator))
class DeleteUser(ServerOperation[int], frozen=True):
    """Remove an account with its sessions and tokens; answers 0.

    What it has open ends within two seconds. Its jobs go on, and keep their owner's name. The last administrator
    is not removed.
    """

    user_name: Somebody


@operation(SERVICE, Permission.VIEWER, changes=True, raises=(AuthError, WeakPassword, OutsideUser))
class ChangePassword(ServerOperation[int], frozen=True):
    """Change one's own password; answers 0. All other sessions of the account end; tokens stay."""

    old_password: Password
    new_password: NewPassword


@operation(SERVICE, Permission.ADMIN, changes=True, raises=(NoSuchUser, WeakPassword, OutsideUser))
class ResetPassword(ServerOperation[int], frozen=True):
    """Give an account a new password; answers 0.

    Its sessions end, and its user has to change it at the next login. Tokens stay: `revoke_token` ends them.
    """

    user_name: Somebody
    new_password: NewPassword


@operation(SERVICE, Permission.ADMIN, changes=True, raises=(NoSuchUser, LastAdministrator, OutsideUser))
class SetRole(ServerOperation[int], frozen=True):
    """Give an account another role; answers 0.

    With a lower one its sessions end, and its tokens can do no more than that. The last administrator keeps his.
    """

    user_name: Somebody
    role: Role


@operation(SERVICE, Permission.VIEWER, raises=(AuthError,))
class ListSessions(ServerOperation[list[LoginSession]], frozen=True):
    """List who is logged in, the last used first: one's own sessions; for an administrator all, or a user's."""

    user_name: AnyUser = ""


@operation(SERVICE, Permission.VIEWER, changes=True, raises=(AuthError, NoSuchUser, NoSuchSession))
class EndSessions(ServerOperation[int], frozen=True):
    """End all sessions of a user, or one; answers how many. Only an administrator ends those of others."""

    user_name: Somebody
    session_id: OptionalSessionId = ""


@operation(SERVICE, Permission.VIEWER, changes=True, raises=(AuthError, NoSuchUser, TooManyTokens))
class CreateToken(ServerOperation[NewToken], frozen=True):
    """Make a token for a program; answers it, this once.

    It may do what its role says, and never more than its owner's. One is made for oneself, or by an administrator
    for another user; a token makes no token.
    """

    label: Label
    role: Role
    days: Days = 90
    user_name: AnyUser = ""


@operation(SERVICE, Permission.VIEWER, raises=(AuthError,))
class ListTokens(ServerOperation[list[Token]], frozen=True):
    """List tokens, the newest first: one's own; for an administrator all, or a user's."""

    user_name: AnyUser = ""


@operation(SERVICE, Permission.VIEWER, changes=True, raises=(NoSuchToken,))
class RevokeToken(ServerOperation[int], frozen=True):
    """Take a token back, at once; answers 0. Only an administrator takes back those of others."""

    token_id: TokenId
