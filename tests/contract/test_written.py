"""The documents that are checked in are those of this code, and the page holds together."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oms.cli.contract import app, commands_text, openrpc_text
from oms.contract import openrpc, pages
from oms.contract.decode import decode
from oms.contract.errors import OmsError
from oms.contract.registry import OPERATIONS, SERVICES
from tests.contract.schemas import faults

ROOT = Path(__file__).parents[2]
EXAMPLES = json.loads((ROOT / "docs/reference/examples.json").read_text(encoding="utf-8"))
PAGE = pages.reference(EXAMPLES)
BEHIND = "{} is behind the declarations: run `make docs` and commit what it wrote"


def test_the_reference_is_current() -> None:
    path = ROOT / "docs/reference/api.md"
    assert path.read_text(encoding="utf-8") == PAGE, BEHIND.format(path)


def test_the_openrpc_document_is_current() -> None:
    path = ROOT / "docs/api/openrpc.json"
    assert path.read_text(encoding="utf-8") == openrpc_text(), BEHIND.format(path)


def test_make_docs_writes_just_these() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "oms contract openrpc --write docs/api/openrpc.json\n" in makefile
    examples = "docs/reference/examples.json"
    assert f"oms contract reference {examples} --write docs/reference/api.md\n" in makefile
    assert "oms contract commands --write docs/reference/commands.md\n" in makefile


def test_the_list_of_commands_is_current() -> None:
    path = ROOT / "docs/reference/commands.md"
    assert path.read_text(encoding="utf-8") == commands_text(), BEHIND.format(path)


def test_the_answers_shown_are_of_calls_that_there_are_and_as_is_published() -> None:
    assert set(EXAMPLES) == {kind.facts.wire for kind in OPERATIONS}
    document = json.loads(json.dumps(openrpc.document()))
    for kind in OPERATIONS:
        example = EXAMPLES[kind.facts.wire]
        decode(kind, pages.example(kind, example["params"]))
        schema = openrpc.method(kind)["result"]["schema"]
        assert list(faults(example["result"], schema, document)) == [], kind.facts.wire


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.facts.wire)
def test_the_page_has_each_method_with_both_ways_to_call_it(kind: type) -> None:
    facts = next(op.facts for op in OPERATIONS if op is kind)
    part = PAGE.split(f"\n### {facts.wire}\n")[1].split("\n### ")[0]
    assert facts.document in part
    assert all(f"| `{param.name}` |" in part for param in facts.params)
    assert all(f"[{error.wire_name}](#errors)" in part for error in facts.raises)
    assert f'"method": "{facts.name}"' in part
    assert f"GET {pages.ADDRESS}/?id=1&service={facts.service.name}&method={facts.name}&params=[" in part


def test_the_page_has_every_service_error_and_type() -> None:
    assert all(f"\n## {service.heading}\n" in PAGE for service in SERVICES)
    for error in openrpc.errors():
        assert re.search(rf"^\| `{error.wire_name}` \| {error.origin} \| {error.code} \|", PAGE, re.MULTILINE)
    for kind in OmsError.kinds.values():
        if kind.reason and kind.__module__.startswith("oms.contract"):
            assert f"| `{kind.reason}` |" in PAGE
    assert all(f"\n### {name}\n" in PAGE for name in openrpc.document()["components"]["schemas"])


def test_links_of_the_page_lead_to_its_headings() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(set(anchors)) == len(anchors), "two headings with one anchor"
    links = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert len(links) > 2 * len(OPERATIONS)
    assert set(links) <= set(anchors)


def test_rows_of_a_table_have_as_many_cells_as_its_head() -> None:
    for table in re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_the_examples_have_no_real_secret_and_no_address_of_ours() -> None:
    addresses = set(re.findall(r"https://[^/\s`)]+", PAGE))
    assert pages.ADDRESS in addresses
    assert all(re.fullmatch(r"https://[a-z]+\.example(:8000)?", address) for address in addresses)


CASES = [
    (["openrpc"], openrpc_text()),
    (["reference", str(ROOT / "docs/reference/examples.json")], PAGE),
    (["commands"], commands_text()),
]


@pytest.mark.parametrize(("command", "text"), CASES, ids=["openrpc", "reference", "commands"])
def test_the_command_writes_a_file_or_the_screen(command: list[str], text: str, tmp_path: Path) -> None:
    path = tmp_path / "document"
    assert CliRunner().invoke(app, [*command, "--write", str(path)]).exit_code == 0
    assert path.read_text(encoding="utf-8") == text
    assert CliRunner().invoke(app, command).stdout == text
