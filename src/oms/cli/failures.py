"""How a command ends: an exit code for scripts, and one sentence on the standard error for people."""

import contextlib
import enum
import errno
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

import typer

from oms.client import ClientError, NotOurs, OutOfReach
from oms.contract.errors import AuthError, OmsError, PermissionDenied


class Code(enum.IntEnum):
    """The exit codes of `oms`."""

    DONE = 0
    ERROR = 1
    """An error of the API's, by name, or of this machine; settings that were refused."""
    USAGE = 2
    """What was typed could not be right: nothing was sent."""
    OUT_OF_REACH = 3
    """OMS could not be asked, or did not answer."""
    NOT_LET_IN = 4
    """Not logged in, no right to do that, or another server than the one that was meant."""
    JOB_FAILED = 5
    """A change was begun, and its job has failed or was cancelled."""
    INTERRUPTED = 130


UNANSWERED = (
    "It asks for something, and the standard input has ended: give that as an option, a password as a line."
)
"""Of a question on a terminal that is none."""


class NotLoggedIn(ClientError):
    """There is no session to go on with."""


@contextlib.contextmanager
def said(command: str) -> Iterator[None]:
    """End with one sentence where something fails."""
    try:
        yield
    except BrokenPipeError:  # nobody reads on, as behind `| head`
        _say_no_more()
        raise typer.Exit(Code.ERROR) from None
    except (OmsError, ClientError, NotOurs, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _say_no_more()
        end(command, sentence(error), code(error))
    except typer.Abort as nobody:  # whoever was asked something
        print(file=sys.stderr)
        if isinstance(nobody.__context__, KeyboardInterrupt):
            raise typer.Exit(Code.INTERRUPTED) from None
        end(command, f"{UNANSWERED} `oms {command} --help` lists the options.", Code.USAGE)
    except KeyboardInterrupt:
        raise typer.Exit(Code.INTERRUPTED) from None


def _say_no_more() -> None:
    """What was not written yet goes nowhere, or Python would complain of it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sentence(error: Exception) -> str:
    """What went wrong, with the name that the API has for it."""
    if isinstance(error, AuthError) and error.reason == "no_session":
        return f"{error.wire_name}: The session or token is not valid, or has ended: `oms login` begins another."
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    if isinstance(error, OmsError):
        return f"{error.wire_name}: {printable(error.message)}"
    return printable(str(error))


def code(error: Exception) -> Code:
    """With what a command ends that has failed so."""
    match error:
        case AuthError() | PermissionDenied() | NotOurs() | NotLoggedIn():
            return Code.NOT_LET_IN
        case OutOfReach():
            return Code.OUT_OF_REACH
        case OmsError() if "job" in error.data:
            return Code.JOB_FAILED
    return Code.ERROR


def end(command: str, why: str, code: Code = Code.ERROR) -> NoReturn:
    """Say why, and end."""
    print(f"oms {command}: {why}", file=sys.stderr)
    raise typer.Exit(code) from None


def printable(text: str) -> str:
    """A text with nothing in it that a terminal would act on: hosts and their machines choose some of them."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
