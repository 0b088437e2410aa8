"""Golden files: what is written out for people or for other programs, as somebody read it and found it right.

`make golden` rewrites them all; then read the difference.
"""

import os
from pathlib import Path


def check(golden: Path, text: str) -> None:
    """Hold a text against its golden file, or put it there where that is asked for."""
    if os.environ.get("OMS_GOLDEN") == "rewrite":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
