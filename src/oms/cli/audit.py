"""`oms audit`: whether the audit log is what was written, at the server's own machine."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from oms.cli import logs
from oms.cli.groups import room
from oms.contract.errors import OmsError
from oms.server.config import ServerConfig
from oms.server.rules.chain import Mark, Verdict
from oms.server.store import Store, audit
from oms.settings import load

app = room("The audit log, at the server's own machine.")


@app.callback()
def _audit() -> None:
    pass


@app.command("verify")
def verify(
    head: Annotated[
        str,
        typer.Option(metavar="NUMBER:SHA256", help="A head of it that you remembered: it must still be there."),
    ] = "",
    data: Annotated[
        Path | None, typer.Option(help="The server's data directory.", readable=False, show_default=False)
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with settings.", exists=True)
    ] = None,
) -> None:
    """Read all rows of the audit log, and name the first that was changed, taken out or put in."""
    remembered = _remembered(head)
    settings = load(ServerConfig, flags={"data": data}, file=config, section="server")
    logs.set_up("console", "warning")
    try:
        verdict = _verdict(settings, remembered)
    except OmsError as error:
        _fail(error.message)
    if verdict.broken:
        _fail(f"the audit log is broken at row {verdict.broken}: {verdict.why}.")
    print(f"The audit log is whole: {verdict.rows} rows. Its head, to be remembered elsewhere:")
    print(f"{verdict.head.seq}:{verdict.head.sha256}")


def _verdict(settings: ServerConfig, remembered: Mark | None) -> Verdict:
    if not settings.database and not (settings.home / "oms.db").exists():
        _fail(f"There is no OMS in {settings.data}: name its data directory with --data.")
    store = Store(settings.database_url)
    try:
        return asyncio.run(store.read(lambda tx: audit.verify(tx, remembered)))
    finally:
        store.close()


def _remembered(head: str) -> Mark | None:
    if not head:
        return None
    found = re.fullmatch(r"([0-9]{1,10}):([0-9a-f]{64})", head)
    if found is None:
        raise typer.BadParameter("A head is a row's number, a colon, and 64 hexadecimal digits.")
    return Mark(int(found[1]), found[2])


def _fail(why: str) -> NoReturn:
    print(f"oms audit: {why}", file=sys.stderr)
    raise typer.Exit(1)
