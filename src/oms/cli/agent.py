"""`oms agent`: the part that runs on every host."""

import typer

app = typer.Typer(help="Run this host's agent.")
