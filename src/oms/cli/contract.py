"""`oms contract`: the API for people (Markdown) and for tools (OpenRPC, TypeScript). Needs no server."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from oms.contract import openrpc, pages, typescript

app = typer.Typer(help="Write the API as a document.", no_args_is_help=True)

Target = Annotated[
    Path | None, typer.Option("--write", metavar="FILE", help="The file to write; without it, the screen.")
]


def openrpc_text() -> str:
    """The OpenRPC document as it is kept: indented JSON that ends in a line feed."""
    return json.dumps(openrpc.document(), indent=2, ensure_ascii=False) + "\n"


@app.command("openrpc")
def write_openrpc(write: Target = None) -> None:
    """The API as an OpenRPC document, for generators and consoles."""
    _put(openrpc_text(), write)


@app.command("reference")
def write_reference(write: Target = None) -> None:
    """The API's reference as a Markdown page."""
    _put(pages.reference(), write)


@app.command("typescript")
def write_typescript(write: Target = None) -> None:
    """The API as TypeScript, for pages and programs in that language."""
    _put(typescript.text(), write)


def _put(text: str, path: Path | None) -> None:
    if path is None:
        typer.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as wrong:
        print(
            f"oms contract: {path} cannot be written: {wrong.strerror}. Its directory must exist and be yours.",
            file=sys.stderr,
        )
        raise typer.Exit(1) from None
