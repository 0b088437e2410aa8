"""What tests see of who runs them: nothing. Home, language, time zone, terminal and umask are alike for all."""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PERSONAL = re.compile(
    r"LANG|LANGUAGE|LC_.*|TZ|TERM|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|CLICOLOR.*|EDITOR|VISUAL|PAGER|LESS|BASH_ENV|ENV"
    r"|XDG_.*|SSH_.*|DISPLAY|WAYLAND_DISPLAY|DBUS_.*|LIBVIRT_.*|VIRSH_.*|LXC_.*|PG.*|OMS_(?!GOLDEN$|SCREENSHOTS$|TEST_SEED$).*"
)
"""Variables that people set for themselves, and that programs here would go by."""
UMASK = 0o022


def caches() -> Path:
    """Where what takes long to make is kept from run to run: with whoever runs the tests."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@contextmanager
def plain() -> Iterator[None]:
    """Everybody's surroundings, for this process and what it starts, with an empty home."""
    before, mask, kept = dict(os.environ), os.umask(UMASK), caches()
    with tempfile.TemporaryDirectory(prefix="oms-home-") as home:
        for name in filter(PERSONAL.fullmatch, before):
            del os.environ[name]
        os.environ.update(HOME=home, XDG_CACHE_HOME=str(kept), LC_ALL="C.UTF-8", TZ="UTC", TERM="dumb")
        time.tzset()
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            time.tzset()
            os.umask(mask)
