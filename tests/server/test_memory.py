"""A server that rests keeps no more memory than it needs to."""

import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from oms.server.store import Store, migrations

HASH = """
import re, threading
from pathlib import Path
from oms.server import passwords

def resident_kb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

kept = passwords.hashed("a password")
before = resident_kb()
for _ in range(2):
    threads = [threading.Thread(target=passwords._verify, args=(kept, "a password")) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print(resident_kb() - before)
"""
MIGRATE = """
import sys
from oms.server.store import Store
Store(sys.argv[1]).migrate()
print("alembic" in sys.modules)
"""


def said(program: str, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_memory_of_a_password_is_given_back() -> None:
    assert int(said(HASH)) < 5 * 1024


def test_what_changes_tables_is_loaded_only_where_a_table_is_to_be_changed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'oms.db'}"
    assert said(MIGRATE, url) == "True"
    assert said(MIGRATE, url) == "False"


def test_the_newest_version_of_the_tables_is_what_alembic_calls_so(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.HERE))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.newest()
    store = Store(f"sqlite:///{tmp_path / 'oms.db'}")
    assert store.transaction(migrations.present) is None
    store.migrate()
    assert store.transaction(migrations.present) == migrations.newest()
    store.close()
