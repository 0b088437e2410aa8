"""Tests come out alike whoever runs them: none of his settings is seen in them."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.house.source import ROOT
from tests.surroundings import PERSONAL, UMASK

OURS = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb"}


def test_nothing_of_who_runs_the_tests_is_seen_in_them() -> None:
    seen = {name: value for name, value in os.environ.items() if PERSONAL.fullmatch(name)}
    assert seen == {**OURS, "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
    assert Path.home().name.startswith("oms-home-")
    assert time.tzname[0] == "UTC"
    mask = os.umask(UMASK)
    os.umask(mask)
    assert mask == UMASK


def test_that_is_so_for_somebody_with_settings_of_his_own(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("exit 1\n")
    his = {
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": "/nonexistent",
        "OMS_DATA": "/nonexistent",
        "LANG": "et_EE.UTF-8",
        "LC_ALL": "et_EE",
        "TZ": "Asia/Kathmandu",
        "TERM": "xterm-256color",
        "COLUMNS": "20",
        "LIBVIRT_DEFAULT_URI": "test:///default",
    }
    test = f"{Path(__file__).relative_to(ROOT)}::{test_nothing_of_who_runs_the_tests_is_seen_in_them.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        env={**os.environ, **his},
        umask=0o077,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
