"""What a system that was packed as a machine's must be told in a container: which terminals it has, and what to do
when the host asks it to shut down. Only System V's init asks for it; systemd and busybox find out by themselves.

The rules are pure; the file is reached through `host.foreign_root` alone, as it is a stranger's.
"""

import re
from pathlib import Path
from typing import Final

from oms.agent.host import foreign_root
from oms.agent.host.foreign_root import Unfit

INITTAB: Final = "etc/inittab"
POWER: Final = "pf::powerwait:/sbin/shutdown -h now"
"""LXC asks by SIGPWR, of which init hears as of a power failure."""
_TERMINAL = re.compile(r"([^:#]{1,4}):([0-9S]+):respawn:(.*getty\b.*)")
_POWER = re.compile(r"[^:#]{1,4}:[^:]*:powerwait:")


def settle(root: Path, owner: tuple[int, int]) -> None:
    """Adapt it, where it has such a file and needs it. `owner`: who root of the container is here. Raises
    OSError."""
    try:
        content = foreign_root.read(root, INITTAB)
        if content is None:
            return
        text = content.decode(errors="surrogateescape")
        if (changed := for_container(text)) != text:
            foreign_root.replace(root, INITTAB, changed.encode(errors="surrogateescape"), owner=owner)
    except Unfit:
        return  # what it has there is no file, and so nothing that its init reads


def for_container(text: str) -> str:
    """The text of an inittab with one terminal, the console, and an end when the power fails."""
    if not any(":initdefault:" in line for line in text.splitlines()):
        return text  # busybox's has another form
    lines, consoles = [], 0
    for line in text.splitlines():
        if (found := _TERMINAL.fullmatch(line)) is not None:
            consoles += 1
            lines.append(_on_console(found) if consoles == 1 else f"#{line}")
        elif _POWER.match(line) is None:
            lines.append(line)
        elif POWER not in lines:
            lines.append(POWER)
    if POWER not in lines:
        lines.append(POWER)
    return "\n".join(lines) + "\n"


def _on_console(found: re.Match[str]) -> str:
    command = re.sub(r"\btty[0-9]+\b", "console", found[3])
    return f"{found[1]}:{found[2]}:respawn:{command}"
