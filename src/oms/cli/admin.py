"""`oms admin`: what is done at the server's own machine, by whoever may read its data."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import sqlalchemy as sa
import typer

from oms.cli import logs
from oms.cli.groups import room
from oms.contract.decode import legal
from oms.contract.errors import OmsError
from oms.contract.operation import Permission
from oms.contract.types import UserName
from oms.server import admin, busnode, passwords
from oms.server.ca.client import SignerClient, SignerError
from oms.server.config import ServerConfig
from oms.server.enrol import Signer
from oms.server.store import Store, hosts, move, users
from oms.settings import load

app = room("Users and first steps, at the server's own machine.")
Name = Annotated[str, typer.Argument(metavar="USER", help="The user's name.")]
Data = Annotated[
    Path | None, typer.Option(help="The server's data directory.", readable=False, show_default=False)
]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file with settings.", exists=True)]
Password = Annotated[
    bool,
    typer.Option(
        "--password", help="Ask for the password, or read it from the standard input, instead of inventing one."
    ),
]


class Refused(Exception):
    """Why it was not done."""


@app.command("add-user")
def add_user(
    name: Name,
    role: Annotated[str, typer.Option(metavar="ROLE", help="viewer, operator or admin.")] = "viewer",
    password: Password = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add a user. A password that was invented has to be changed at the first login."""
    level, name = _level(role), _name(name)
    chosen = _password(password, name)
    _do(
        lambda store: admin.add_user(store, name, level, chosen, must_change=not password), _settings(config, data)
    )
    _tell(f"{name} may log in as {role}", chosen, password)


@app.command("list-users")
def list_users(data: Data = None, config: Config = None) -> None:
    """List the users: name, role, and who knows the password."""

    def show(store: Store) -> None:
        for counted in store.transaction(users.every):
            user = counted.user
            changes = "  must change the password" if user.must_change else ""
            print(f"{user.name:24} {user.role.name.lower():9} {user.source}{changes}")

    _do(show, _settings(config, data))


@app.command("set-role")
def set_role(
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, operator or admin.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Give a user another role; a lower one ends his sessions."""
    level = _level(role)
    _do(lambda store: admin.set_role(store, name, level), _settings(config, data))
    print(f"{name} is {role}.")


@app.command("delete-user")
def delete_user(name: Name, data: Data = None, config: Config = None) -> None:
    """Remove a user with his sessions and tokens."""
    _do(lambda store: admin.delete_user(store, name), _settings(config, data))
    print(f"{name} is removed.")


@app.command("reset-password")
def reset_password(
    name: Name,
    password: Password = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Give a user a new password and end his sessions. An invented one has to be changed at the next login."""
    chosen = _password(password, name)
    _do(lambda store: admin.reset_password(store, name, chosen, must_change=not password), _settings(config, data))
    _tell(f"{name} has a new password, and no session any more", chosen, password)


@app.command("metrics-token")
def metrics_token(
    end: Annotated[bool, typer.Option("--end", help="Make none, and void the one there is.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make the token with which a monitoring system reads /metrics, in place of the one before."""

    def act(store: Store) -> None:
        if end:
            there = admin.end_metrics_token(store)
            print("The token is void." if there else "There was no token.")
        else:
            print(f"The token for /metrics, shown this once: {admin.metrics_token(store)}")

    _do(act, _settings(config, data))


@app.command("sign")
def sign(
    host: Annotated[str, typer.Argument(metavar="HOST", help="The host's name.")],
    key_sha256: Annotated[
        str, typer.Option(metavar="HEX", help="The fingerprint of its key, as its agent prints it.")
    ],
    data: Data = None,
    config: Config = None,
) -> None:
    """Let a waiting host in whose key's fingerprint you have seen on the host itself."""
    settings = _settings(config, data)
    signer = SignerClient(settings.signer)

    async def let_in() -> None:
        store = _store(settings)
        request = await store.read(lambda tx: hosts.request_by_key(tx, key_sha256.lower()))
        if request is None or request.name != host:
            raise Refused(f"No request of {host} with the key {key_sha256} is waiting.")
        await Signer(store, signer, settings.certificate_days).sign(request, "(console)")

    _run(lambda: asyncio.run(let_in()))
    print(f"{host} is signed.")


@app.command("migrate-database")
def migrate_database(
    old: Annotated[str, typer.Option("--from", metavar="URL", help="As in sqlite:////var/lib/oms/server/oms.db.")],
    new: Annotated[
        str, typer.Option("--to", metavar="URL", help="As in postgresql://oms@db.example.org/oms; empty.")
    ],
) -> None:
    """Bring all that OMS keeps into another database, while no server runs."""

    def bring() -> None:
        place = _url(new).render_as_string(hide_password=True)
        try:
            move.move(_there(old), Store(new), place, lambda table, rows: print(f"{table:14} {rows:>9} rows"))
        except move.NotMoved as why:
            raise Refused(str(why)) from None
        print(f"All of it is in {place}: counted, and the audit log verified. Set `database` to that.")

    _run(bring)


def _url(text: str) -> sa.URL:
    """Raises BadParameter."""
    try:
        return sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise typer.BadParameter(
            f"{text!r} is no database: legal is sqlite:////var/lib/oms/server/oms.db, or "
            "postgresql://oms@db.example.org/oms."
        ) from None


def _there(url: str) -> Store:
    """Raises Refused where there is none: SQLite would make one."""
    parsed = _url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise Refused(f"There is no database {parsed.database}.")
    return Store(url)


@app.command("bus-node")
def bus_node(
    name: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Its host name; further names and addresses after it.")
    ],
    to: Annotated[Path, typer.Option(help="The directory to make here, for you to carry there.")],
    route: Annotated[list[str], typer.Option(metavar="HOST:PORT", help="A node of the cluster; one for each.")],
    listen: Annotated[str, typer.Option(metavar="ADDR:PORT", help="For servers and hosts.")] = "0.0.0.0:4222",
    cluster_listen: Annotated[str, typer.Option(metavar="ADDR:PORT", help="For other nodes.")] = "0.0.0.0:6222",
    home: Annotated[Path, typer.Option(help="Where the directory will be there.")] = Path("/var/lib/oms-bus"),
    data: Data = None,
    config: Config = None,
) -> None:
    """Make what a nats-server needs to be one of the cluster: its configuration, certificate and key."""
    settings = _settings(config, data)
    node = busnode.Node(tuple(name), listen, cluster_listen, tuple(route), home)

    async def make() -> None:
        try:
            await busnode.write(node, to, _store(settings), SignerClient(settings.signer))
        except FileExistsError:
            raise Refused(f"{to} is there already: name a directory that is not.") from None
        except (OSError, ValueError, SignerError) as failure:
            raise Refused(str(failure)) from failure

    _run(lambda: asyncio.run(make()))
    print(f"{to} is to be {home} on {name[0]}; start there: nats-server -c {home}/nats.conf")


def _settings(config: Path | None, data: Path | None) -> ServerConfig:
    return load(ServerConfig, flags={"data": data}, file=config, section="server")


def _store(settings: ServerConfig) -> Store:
    if not settings.database and not (settings.home / "oms.db").exists():
        raise Refused(f"There is no OMS in {settings.data}: name its data directory with --data.")
    return Store(settings.database_url)


def _do(what: Callable[[Store], None], settings: ServerConfig) -> None:
    _run(lambda: what(_store(settings)))


def _run(what: Callable[[], None]) -> None:
    logs.set_up("console", "warning")
    try:
        what()
    except Refused as reason:
        print(f"oms admin: {reason}", file=sys.stderr)
        raise typer.Exit(1) from None
    except OmsError as error:
        print(f"oms admin: {error.message}", file=sys.stderr)
        raise typer.Exit(1) from None


def _name(name: str) -> str:
    try:
        return msgspec.convert(name, UserName)
    except msgspec.ValidationError:
        raise typer.BadParameter(f"{name!r} is not legal: legal is {legal(UserName)}.") from None


def _level(role: str) -> Permission:
    level = {permission.name.lower(): permission for permission in Permission if permission}.get(role)
    if level is None:
        raise typer.BadParameter(f"{role} is no role: legal are viewer, operator, admin.")
    return level


def _password(given: bool, name: str) -> str:
    if not given:
        return passwords.invented()
    if sys.stdin.isatty():
        chosen = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        chosen = sys.stdin.readline().rstrip("\n")
    try:
        return passwords.fit(chosen, name)
    except passwords.Unfit as why:
        raise typer.BadParameter(str(why)) from None


def _tell(what: str, password: str, given: bool) -> None:
    shown = f"{what}. The password, shown this once and to be changed at the first login: {password}"
    print(f"{what}." if given else shown)
