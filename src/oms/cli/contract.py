"""`oms contract`: the API for people (Markdown) and for tools (OpenRPC, TypeScript). Needs no server."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from oms.cli.groups import room
from oms.contract import openrpc, pages, typescript
from oms.contract.registry import SERVICES

app = room("Write the API as a document.")

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
def write_reference(
    examples: Annotated[
        Path,
        typer.Argument(
            metavar="EXAMPLES", help="Calls and their answers, as in docs/reference/examples.json.", exists=True
        ),
    ],
    write: Target = None,
) -> None:
    """The API's reference as a Markdown page."""
    _put(pages.reference(json.loads(examples.read_text(encoding="utf-8"))), write)


@app.command("commands")
def write_commands(write: Target = None) -> None:
    """The commands that call the API, as a Markdown page."""
    _put(commands_text(), write)


def commands_text() -> str:
    """A table for each group: the words of a command, the role that it takes, and what it does."""
    from oms.cli import commands

    lines = ["# The commands", "", "Written by `make docs` from the declarations in `src/oms/contract`.", ""]
    for group, service in commands.by_group().items():
        summary = service.summary.replace("\n", " ")
        lines += [f"## {group}", "", summary, "", "| command | role | what it does |", "|---|---|---|"]
        for kind in dict.fromkeys(SERVICES[service].values()):
            words = " ".join(("oms", group, commands.command_name(kind.facts.name), *commands.usage(kind)))
            method = kind.facts.wire
            link = f"[{commands.short(kind)}](api.md#{method.replace('.', '').lower()})"
            lines.append(f"| `{words}` | {kind.facts.permission.name.lower()} | {link} |")
        lines.append("")
    return "\n".join(lines)


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
