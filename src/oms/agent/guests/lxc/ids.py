"""Which of the host's ids the users of new containers are.

Ranges are kept in /etc/subuid and /etc/subgid, for all who hand some out: one that is written there for root is
nobody else's. Source: subuid(5); what LXC asks for stands in lxc.container.conf(5), lxc.idmap.
"""

from pathlib import Path
from typing import Final

import structlog

from oms.agent.guests.containers import IdMap, IdRange
from oms.agent.host.process import ProgramError, run
from oms.settings import SettingsError

log = structlog.get_logger("oms.agent.guests")
SUBUID, SUBGID = Path("/etc/subuid"), Path("/etc/subgid")
OWNER: Final = "root"
COUNT: Final = 65536
FIRST: Final = 100000
LAST: Final = 2**32 - 2 * COUNT
NONE: Final = "none"

Range = tuple[int, int]


async def ids_for_containers(setting: str) -> IdMap:
    """The map of new containers; () where they are to have none, or cannot. Raises SettingsError.

    Where root has no range yet, one that overlaps no other is reserved.
    """
    if setting == NONE:
        return ()
    if not Path("/proc/self/ns/user").exists():
        log.warning("new containers are privileged", why="this kernel has no user namespaces")
        return ()
    wanted = _parsed(setting) if setting else None
    users, groups = _ranges(SUBUID), _ranges(SUBGID)
    for found in users.get(OWNER, []):
        if found in groups.get(OWNER, []) and (wanted == found or (wanted is None and found[1] >= COUNT)):
            return mapped(*found)
    begin, count = wanted or (free_range([*_all(users), *_all(groups)]), COUNT)
    words = f"{begin}-{begin + count - 1}"
    try:
        done = await run(["usermod", "--add-subuids", words, "--add-subgids", words, "--", OWNER], timeout=30)
    except ProgramError as error:
        log.warning("new containers are privileged", why=error.message)
        return ()
    if done.exit:
        log.warning("new containers are privileged", why=done.words, program="usermod")
        return ()
    log.info("ids for containers are reserved", ids=words, files=[str(SUBUID), str(SUBGID)])
    return mapped(begin, count)


def mapped(begin: int, count: int) -> IdMap:
    """Users and groups from 0 on are those from `begin` on."""
    return (IdRange("user", 0, begin, count), IdRange("group", 0, begin, count))


def free_range(taken: list[Range]) -> int:
    """The first of as many ids as a container takes, that are nobody's."""
    begin = FIRST
    for first, count in sorted(taken):
        if first < begin + COUNT and begin < first + count:
            begin = first + count
    return begin


def parsed(text: str) -> dict[str, list[Range]]:
    """The ranges of such a file, by owner."""
    found: dict[str, list[Range]] = {}
    for line in text.splitlines():
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if first.isdigit() and count.isdigit():
            found.setdefault(owner, []).append((int(first), int(count)))
    return found


def _ranges(file: Path) -> dict[str, list[Range]]:
    try:
        return parsed(file.read_text(errors="replace"))
    except FileNotFoundError:
        return {}


def _all(ranges: dict[str, list[Range]]) -> list[Range]:
    return [found for owned in ranges.values() for found in owned]


def _parsed(setting: str) -> Range:
    first, _, count = setting.partition(":")
    if first.isdigit() and count.isdigit() and int(first) >= 1000 and 1000 <= int(count) <= LAST - int(first):
        return int(first), int(count)
    raise SettingsError(
        f"container_ids is {setting!r}: legal are FIRST:COUNT, as in {FIRST}:{COUNT}, {NONE!r}, or nothing."
    )
