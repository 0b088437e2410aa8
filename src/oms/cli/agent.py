"""`oms agent`: the part that runs on every host."""

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from oms.agent import main as agent
from oms.agent.config import AgentConfig, checked
from oms.cli import logs
from oms.cli.groups import room
from oms.settings import load

app = room("Run this host's agent.", invoke_without_command=True)

Server = Annotated[str | None, typer.Option(metavar="URL", help="OMS's address, as in https://oms:8000.")]
CaSha256 = Annotated[str | None, typer.Option(metavar="HEX", help="The fingerprint that OMS printed.")]
CaFile = Annotated[Path | None, typer.Option(help="OMS's CA itself (PEM), instead of its fingerprint.")]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="The name to ask under; this machine's own by default.")
]
Data = Annotated[Path | None, typer.Option(help="Where everything that lasts lives.", readable=False)]
Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings.", exists=True, dir_okay=False)
]


@app.callback()
def run(
    context: typer.Context,
    server: Server = None,
    ca_sha256: CaSha256 = None,
    ca_file: CaFile = None,
    name: Name = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Ask OMS to be let in, wait to be signed, and serve this host from then on."""
    given = {"server": server, "ca_sha256": ca_sha256, "ca_file": ca_file, "name": name, "data": data}
    context.obj = (given, config)
    if context.invoked_subcommand is None:
        _do(agent.run(_settings(given, config)))


@app.command()
def enrol(
    context: typer.Context,
    server: Server = None,
    ca_sha256: CaSha256 = None,
    ca_file: CaFile = None,
    name: Name = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Ask to be let in, wait to be signed, and end; the agent itself is started later."""
    before, file = context.obj
    given = {"server": server, "ca_sha256": ca_sha256, "ca_file": ca_file, "name": name, "data": data}
    own = {name: value for name, value in given.items() if value is not None}
    settings = _settings({**before, **own}, config or file)
    _do(agent.enrol(settings))
    print(f"{settings.host_name()} is signed.")


def _settings(given: dict[str, Any], config: Path | None) -> AgentConfig:
    prefixes = ("OMS_", "OMS_AGENT_")
    settings = checked(load(AgentConfig, flags=given, file=config, section="agent", prefixes=prefixes))
    logs.set_up(settings.log_format)
    return settings


def _do(work: Coroutine[Any, Any, Any]) -> None:
    try:
        uvloop.run(work)
    except agent.CannotRun as reason:
        print(f"oms agent: {reason}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
