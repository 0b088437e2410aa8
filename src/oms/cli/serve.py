"""`oms server`: from settings to a running server."""

import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
import uvloop

from oms.server.config import ServerConfig
from oms.server.main import CannotServe, serve
from oms.settings import SettingsError, address, load


def settings(
    file: Path | None, flags: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> ServerConfig:
    """The server's settings. Raises SettingsError."""
    found = load(ServerConfig, flags=flags, file=file, section="server", defaults=defaults)
    for name in ("listen", "bus_listen"):
        try:
            address(getattr(found, name))
        except ValueError as wrong:
            raise SettingsError(f"{name}: {wrong}") from wrong
    found.buses  # noqa: B018 - raises
    if found.tls_certificate and not (found.tls_key and found.tls_ca):
        raise SettingsError("tls_certificate needs tls_key, and tls_ca for the agents to know it by.")
    return found


def run(found: ServerConfig) -> None:
    """Serve until told to end."""
    os.umask(0o077)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the usual 1024 is few idle callers away
    try:
        uvloop.run(serve(found))
    except CannotServe as reason:
        print(f"oms server: {reason}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        pass
