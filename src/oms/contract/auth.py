"""AuthService: logging in, logging out, asking whether a session lives."""

from typing import Annotated

from msgspec import Meta

from oms.contract.errors import ApplicationError, AuthError, FuncManError
from oms.contract.operation import OpenOperation, Permission, Service, SessionOperation, operation
from oms.contract.types import LoginName, Password

SERVICE = Service(
    "authservices",
    "AuthService",
    "Log in and out. The SESSID that `authenticate` answers is the first parameter of every other call.",
    answers="auth",
)

Sessid = Annotated[
    str,
    Meta(description="a session id: 40 upper-case hexadecimal digits, 160 random bits, new at each login"),
]


class NoSession(AuthError):
    """The session is not valid, or has ended: whoever called has to log in (anew)."""

    reason = "no_session"


class LoginsBusy(FuncManError):
    """As many logins as may wait to be looked at: this one was not tried, nor counted as a wrong one."""

    reason = "logins_busy"


class LoginSourceDown(FuncManError):
    """The user is none of OMS's own, and the PAM or directory that may know him does not answer now."""

    reason = "login_source_down"


class DeathError(ApplicationError):
    """The session cannot be ended, because there is none of that id (any more)."""

    code = 1011


@operation(SERVICE, Permission.NOBODY, timeout=30, raises=(AuthError, LoginsBusy, LoginSourceDown))
class Authenticate(OpenOperation[Sessid], frozen=True):
    """Log a user in; answers the session id (SESSID).

    An unknown user and a wrong password are answered alike, after the same time. Each wrong guess is answered
    late, and after ten of them the user is locked for that address for a while.
    """

    username: LoginName
    password: Password


@operation(SERVICE, Permission.NOBODY, raises=(DeathError,))
class Deauthenticate(SessionOperation[int], frozen=True):
    """Log out: the session is ended at once; answers 0."""


@operation(SERVICE, Permission.VIEWER, raises=(AuthError, NoSession))
class Checksessid(SessionOperation[int], frozen=True):
    """Check that a session is valid; answers 0, or AuthError where it is not."""
