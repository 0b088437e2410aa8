"""The command `oms` and what stands below it. `oms.cli.failures` has the exit codes.

A command imports what it needs when it is run: a host has the packages of the agent alone, and nobody waits for
those of another command.
"""

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from oms import __version__
from oms.cli import commands
from oms.cli.groups import HELP, Group, Room, sentence
from oms.settings import SettingsError


class Elsewhere(Group):
    """A group of commands in a module of its own, which is loaded when one of them is wanted."""

    def __init__(self, name: str, module: str, package: str, summary: str) -> None:
        """`package`: one by which it is seen whether its commands can be run here."""
        super().__init__(name=name, help=summary, rich_markup_mode=None)
        self.package = package
        self._module = module

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """That of the group itself, by which it is run."""
        return self._itself().make_context(info_name, args, parent, **extra)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of its commands."""
        return list(self._itself().list_commands(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        return self._itself().get_command(ctx, cmd_name)

    def _itself(self) -> Any:
        return typer.main.get_command(importlib.import_module(self._module).app)


GROUPS = {
    "agent": Elsewhere("agent", "oms.cli.agent", "psutil", "Run this host's agent."),
    "admin": Elsewhere(
        "admin", "oms.cli.admin", "sqlalchemy", "Users and first steps, at the server's own machine."
    ),
    "contract": Elsewhere("contract", "oms.cli.contract", "msgspec", "Write the API as a document."),
    "sim": Elsewhere("sim", "oms.cli.sim", "psutil", "Simulate a fleet of hosts with guests."),
}


OF_SERVER = {"up", "server", "signer"}
SERVES = {*OF_SERVER, *GROUPS}
CALLING, SERVING, SERVICES = "Commands", "On a server or host itself", "What OMS does, a group of commands each"


class Rooms(Group):
    """The commands here, the groups in modules of their own, and a group for each service of the API."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the help; what this machine has no packages for is left out."""
        here = [name for name in self.commands if super(Rooms, self).get_command(ctx, name)]
        if not commands.installed(GROUPS["admin"].package):
            here = [name for name in here if name not in OF_SERVER]
        groups = (name for name, group in GROUPS.items() if commands.installed(group.package))
        return [*here, *groups, *commands.by_group()]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """In parts, and each with a whole sentence."""
        parts: dict[str, list[tuple[str, str]]] = {title: [] for title in (CALLING, SERVING, SERVICES)}
        for name in self.list_commands(ctx):
            service = name in commands.by_group()
            title = SERVICES if service else SERVING if name in SERVES else CALLING
            parts[title].append((name, sentence(self.get_command(ctx, name).help)))
        for title, rows in parts.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        if found := super().get_command(ctx, cmd_name):
            return found
        if cmd_name in GROUPS:
            return GROUPS[cmd_name]
        service = commands.by_group().get(cmd_name)
        return commands.OfService(service) if service else None

    def near(self, word: str, known: Iterable[str]) -> list[str]:
        """Those that have the word, or else where it is a command of a group."""
        there = (
            f"{group} {word}"
            for group, service in commands.by_group().items()
            if commands.OfService(service).get_command(None, word)
        )
        return super().near(word, known) or list(there)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As ever, and what is near to a word that is no command is looked for among all."""
        for name in (*GROUPS, *commands.by_group()):
            self.commands.setdefault(name, None)  # type: ignore[arg-type]
        return super().resolve_command(ctx, args)


app = Room(
    name="oms",
    cls=Rooms,
    help="OpenNode Management Server: one address for a fleet of virtualization hosts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
)

Data = Annotated[
    Path | None, typer.Option(help="Where everything that lasts lives.", readable=False, show_default=False)
]
Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings.", exists=True, dir_okay=False)
]
Listen = Annotated[
    str | None, typer.Option(metavar="ADDR:PORT", help="Where callers connect (HTTPS).", show_default=False)
]
BusListen = Annotated[
    str | None, typer.Option(metavar="ADDR:PORT", help="Where agents connect.", show_default=False)
]
Database = Annotated[
    str | None,
    typer.Option(metavar="URL", help="As in postgresql://oms@db.example.org/oms, in place of SQLite."),
]
Nats = Annotated[
    str | None,
    typer.Option(metavar="URL,URL,…", help="The bus, where it is a cluster of its own: tls://HOST:PORT each."),
]
TlsCertificate = Annotated[Path | None, typer.Option(help="Certificate for HTTPS instead of OMS's own (PEM).")]
TlsKey = Annotated[Path | None, typer.Option(help="Its key.")]
TlsCa = Annotated[Path | None, typer.Option(help="The CA that agents are to know it by.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"oms {__version__}")
        raise typer.Exit


@app.callback()
def _oms(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    pass


@app.command()
def up(
    data: Data = None,
    config: Config = None,
    listen: Listen = None,
    bus_listen: BusListen = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Serve this very machine: server, bus, signer and agent, in one foreground process tree."""
    from oms.cli.up import run

    run(
        config,
        data=data,
        listen=listen,
        bus_listen=bus_listen,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_ca=tls_ca,
    )


@app.command()
def server(
    data: Data = None,
    config: Config = None,
    listen: Listen = None,
    bus_listen: BusListen = None,
    database: Database = None,
    nats: Nats = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Run the server and the bus; the signer runs apart (`oms signer`)."""
    from oms.cli import logs, serve

    flags = {
        "data": data,
        "listen": listen,
        "bus_listen": bus_listen,
        "database": database,
        "nats": nats,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_ca": tls_ca,
    }
    settings = serve.settings(config, flags)
    logs.set_up(settings.log_format)
    serve.run(settings)


@app.command()
def signer(
    directory: Annotated[Path, typer.Option(help="Where the CA's keys are.")] = Path("/var/lib/oms/signer"),
    socket: Annotated[Path, typer.Option(help="Where the server asks.")] = Path("/var/lib/oms/run/signer.sock"),
    user: Annotated[str | None, typer.Option(help="The account to become; needs root.")] = None,
    client: Annotated[list[str] | None, typer.Option(help="An account that may ask; may be repeated.")] = None,
) -> None:
    """Run the process that alone holds the CA's keys."""
    from oms.cli import logs
    from oms.server.ca import signer as process
    from oms.server.ca.privilege import CannotStart

    logs.set_up("console" if sys.stderr.isatty() else "json")
    try:
        process.run(directory, socket, user, client or ())
    except CannotStart as reason:
        print(f"oms signer: {reason}", file=sys.stderr)
        raise typer.Exit(1) from None


def _methods(incomplete: str) -> list[tuple[str, str]]:
    from oms.cli.call import methods

    return methods(incomplete)


Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="table|json|yaml|csv|plain", help="How to show the answer."),
]
HostName = Annotated[str, typer.Argument(metavar="HOST", help="The host's name.", show_default=False)]
ProfileName = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Which OMS, and as whom (OMS_PROFILE).")
]


@app.command()
def login(
    url: Annotated[
        list[str] | None,
        typer.Argument(metavar="URL...", help="OMS's address, as in https://oms:8000; or several of one OMS."),
    ] = None,
    ca_sha256: Annotated[str | None, typer.Option(metavar="HEX", help="The fingerprint that OMS printed.")] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="OMS's CA itself (PEM), instead of its fingerprint.", exists=True)
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="The user's name.")] = None,
    token: Annotated[bool, typer.Option("--token", help="Keep a program's token instead of a session.")] = False,
    profile: ProfileName = None,
) -> None:
    """Begin a session for the commands below; what is not given is asked for, the password always."""
    from oms.cli import session

    session.login(url or [], ca_sha256, ca_file, user, profile, token=token)


@app.command()
def logout(profile: ProfileName = None) -> None:
    """End the session."""
    from oms.cli import session

    session.logout(profile)


@app.command()
def console(
    host: HostName,
    guest: Annotated[
        str,
        typer.Argument(metavar="GUEST", help="A machine or container; without it, a shell on the host itself."),
    ] = "",
    profile: ProfileName = None,
) -> None:
    """Be at a guest's text console, or a shell on a host, in this terminal; Ctrl-] leaves."""
    from oms.cli.console import run

    run(host, guest, profile)


@app.command()
def vnc(
    host: HostName,
    guest: Annotated[str, typer.Argument(metavar="VM", help="The machine.", show_default=False)],
    browser: Annotated[bool, typer.Option("--open", help="Open it in this machine's browser.")] = False,
    profile: ProfileName = None,
) -> None:
    """Say the address of a page with a machine's screen. It carries your session: it is for you alone."""
    import webbrowser

    from oms.cli.console import address

    at = address(host, guest, profile)
    if not browser:
        print(at)
    elif not webbrowser.open(at):
        print(f"oms vnc: there is no browser here; the address is {at}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def call(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD", help="As in kvmservices.list_vms.", autocompletion=_methods, show_default=False
        ),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORDS...",
            help="The host, where one answers, and the parameters in their order.",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, help="How old a recorded answer may be; 0 asks the host.")
    ] = 0,
    wait: Annotated[
        bool, typer.Option(help="Whether to wait for the job of a change, or only to print its id.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Show the answer as JSON.")] = False,
    output: Output = None,
    profile: ProfileName = None,
) -> None:
    """Call any method of the API by its own name: `oms call kvmservices.list_vms node1 cpu memory`.

    Words are texts where a text is legal, and else JSON. Words that begin with a hyphen stand behind `--`.
    """
    from oms.cli import asking
    from oms.cli.call import run

    how = asking.How(asking.form("json" if json else output), profile, wait)
    run(method, words or [], cache_timeout=cache, how=how)


@app.command()
def recording(
    recording: Annotated[str, typer.Argument(metavar="ID", help="`oms consoles list-recordings` lists them.")],
) -> None:
    """Write the recording of a console out: `oms recording ID > shell.cast`, then `asciinema play shell.cast`."""
    from oms.cli.recording import run

    run(recording)


def _typed(words: list[str]) -> list[str]:
    """What others' commands have as words, and this one as options: `oms help kvm`, `oms version`."""
    if words[:1] == ["help"]:
        return [*words[1:], "--help"]
    return ["--version"] if words == ["version"] else words


def main() -> None:
    """The command."""
    try:
        app(_typed(sys.argv[1:]), prog_name="oms")
    except SettingsError as wrong:
        print(f"oms: {wrong}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("oms"):
            raise
        print(
            f"oms: this command needs {missing.name}, which is not installed here: install opennode-oms[server] "
            "on a server, opennode-oms[agent] on a host, opennode-oms[client] elsewhere.",
            file=sys.stderr,
        )
        sys.exit(1)
