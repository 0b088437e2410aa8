"""`oms login`, `oms logout`: a session that is kept between commands, in a file of this user alone."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import typer

from oms.agent.host import durable
from oms.client import Client, ClientError, NotOurs
from oms.contract.errors import OmsError
from oms.contract.types import Secret
from oms.contract.user import ChangePassword, Whoami


class Kept(msgspec.Struct, frozen=True):
    """Where a user is logged in."""

    url: str
    user: str
    sessid: str = ""
    ca_sha256: str = ""
    ca_file: str = ""

    def client(self) -> Client:
        """A client that goes on with it."""
        ca_file = Path(self.ca_file) if self.ca_file else None
        return Client(self.url, ca_sha256=self.ca_sha256, ca_file=ca_file, sessid=self.sessid)


def _file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "oms" / "session.json"


def kept() -> Kept | None:
    """What is kept, None where that is nothing that can be used."""
    try:
        return msgspec.json.decode(_file().read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError):
        return None


def keep(session: Kept) -> None:
    """Put it in place of the one before."""
    durable.own_directory(_file().parent)
    durable.write_whole(_file(), msgspec.json.encode(session))


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """The client of whoever is logged in."""
    session = kept()
    if session is None or not session.sessid:
        raise ClientError("You are not logged in: `oms login` asks for all it needs.")
    async with session.client() as client:
        yield client


@contextlib.contextmanager
def said(command: str) -> Iterator[None]:
    """End with one sentence where something fails."""
    try:
        yield
    except OmsError as error:
        _end(command, f"{error.wire_name}: {printable(error.message)}")
    except (ClientError, NotOurs, OSError) as error:
        _end(command, printable(str(error)))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _end(command: str, why: str) -> None:
    print(f"oms {command}: {why}", file=sys.stderr)
    raise typer.Exit(1) from None


def printable(text: str) -> str:
    """A text with nothing in it that a terminal would act on: hosts and their machines choose some of them."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def login(url: str | None, ca_sha256: str | None, ca_file: Path | None, user: str | None) -> None:
    """Ask for what was not given; begin a session, and keep it."""
    before = kept()
    url = url or typer.prompt("Address", default=before.url if before else None)
    if ca_file is None and ca_sha256 is None:
        known = before.ca_sha256 if before and before.url == url else ""
        asked = "CA fingerprint (none: the CAs of this machine)"
        ca_sha256 = typer.prompt(asked, default=known, show_default=bool(known))
    user = user or typer.prompt("User", default=before.user if before else None)
    try:
        session = Kept(url, user, "", ca_sha256 or "", str(ca_file.absolute()) if ca_file else "")
        client = session.client()
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    with said("login"):
        sessid = asyncio.run(_begun(client, user, _password("Password")))
        keep(msgspec.structs.replace(session, sessid=sessid))
    print(f"Logged in at {url} as {user}.")


def _password(asked: str, *, twice: bool = False) -> str:
    if sys.stdin.isatty():
        typed: str = typer.prompt(asked, hide_input=True, confirmation_prompt=twice)
        return typed
    return sys.stdin.readline().rstrip("\n")


async def _begun(client: Client, user: str, password: str) -> str:
    async with client:
        await client.login(user, password)
        if (await client.call(Whoami())).must_change_password:
            print("Whoever gave this password knows it: choose another one, of 12 characters or more.")
            await client.call(ChangePassword(Secret(password), Secret(_password("New password", twice=True))))
        return client.sessid


def logout() -> None:
    """End the session at OMS, and forget it here whatever OMS says to that."""
    session = kept()
    if session is None or not session.sessid:
        print("Nobody was logged in.")
        return
    keep(msgspec.structs.replace(session, sessid=""))
    with said("logout"):
        asyncio.run(_ended(session))
    print(f"Logged out at {session.url}.")


async def _ended(session: Kept) -> None:
    async with session.client() as client:
        await client.logout()
