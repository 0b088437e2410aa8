"""The documentation: it becomes pages, its links lead somewhere, and its table has every method of 2011."""

import subprocess
import sys
from pathlib import Path

from tests.contract.document import ALL

DOCS = Path(__file__).parents[2] / "docs"


def test_it_becomes_pages_without_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (made.returncode, made.stderr) == (0, "")
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert {page for page in pages if f'href="{page}.html"' not in index} == set()


def test_every_method_of_2011_is_in_its_table() -> None:
    table = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    missing = [
        str(method)
        for method in ALL
        if f"[`{method.method}`](reference/api.md#{method.service}{method.method})" not in table
    ]
    assert missing == []
