"""`oms login`, `oms logout`: a session, or a program's token, that is kept between commands."""

import asyncio
import re
import sys
from pathlib import Path

import msgspec
import typer

from oms.bus import pinning
from oms.cli import profiles
from oms.cli.failures import said
from oms.cli.profiles import Profile
from oms.client import Client
from oms.client.ways import check_address
from oms.contract.types import Secret
from oms.contract.user import ChangePassword, Whoami

FINGERPRINT = re.compile("[0-9a-f]{64}")


def login(
    urls: list[str],
    ca_sha256: str | None,
    ca_file: Path | None,
    user: str | None,
    profile: str | None,
    *,
    token: bool,
) -> None:
    """Ask for what was not given; begin a session, and keep it."""
    with said("login"):
        before = profiles.chosen(profile, environment=False)
    with said("login"):
        urls = urls or typer.prompt("Address", default=" ".join(before.urls) or None).split()
    try:
        for url in urls:
            check_address(url)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    if ca_file is None and ca_sha256 is None:
        known = before.ca_sha256 if before.urls == tuple(urls) else ""
        asked = "CA fingerprint (none: the CAs of this machine)"
        with said("login"):
            ca_sha256 = typer.prompt(asked, default=known, show_default=bool(known))
    if ca_sha256 and not FINGERPRINT.fullmatch(pinning.plain(ca_sha256)):
        raise typer.BadParameter(f"{ca_sha256!r} is no fingerprint: legal is 64 hexadecimal digits.")
    if not token:
        with said("login"):
            user = user or typer.prompt("User", default=before.user or None)
    file = str(ca_file.absolute()) if ca_file else ""
    made = Profile(before.name, tuple(url.rstrip("/") for url in urls), user or "", ca_sha256 or "", file)
    with said("login"):
        made = asyncio.run(_begun(made.client(), made, password("Token" if token else "Password"), token=token))
        profiles.keep(made)
    print(f"Logged in at {made.urls[0]} as {made.user}.")


def password(asked: str, *, twice: bool = False) -> str:
    """Asked for on a terminal without being shown; elsewhere the next line of the standard input."""
    if sys.stdin.isatty():
        typed: str = typer.prompt(asked, hide_input=True, confirmation_prompt=twice)
        return typed
    if not (line := sys.stdin.readline()):
        raise typer.Abort
    return line.rstrip("\n")


async def _begun(client: Client, made: Profile, secret: str, *, token: bool) -> Profile:
    async with client:
        if token:
            client.sessid = secret
            user = (await client.call(Whoami())).name
            return msgspec.structs.replace(made, user=user, secret=secret)
        await client.login(made.user, secret)
        if (await client.call(Whoami())).must_change_password:
            print("Whoever gave this password knows it: choose another one, of 12 characters or more.")
            await client.call(ChangePassword(Secret(secret), Secret(password("New password", twice=True))))
        return msgspec.structs.replace(made, secret=client.sessid)


def logout(name: str | None) -> None:
    """End the session at OMS, and forget it here whatever OMS says to that. A token is only forgotten."""
    with said("logout"):
        profile = profiles.chosen(name, environment=False)
        if not profile.secret:
            print("Nobody was logged in.")
            return
        profiles.keep_secret(profile.name, "")
        if not profile.secret.startswith("oms_"):
            asyncio.run(_ended(profile))
    print(f"Logged out at {profile.urls[0]}.")


async def _ended(profile: Profile) -> None:
    async with profile.client() as client:
        await client.logout()
