"""What a container's own files say of it, and how they are changed while it is off or runs: its name, its name
servers, root's password. The rules are pure; the files are reached through `host.foreign_root` alone.
"""

import re
import time
from pathlib import Path

from oms.agent import sha512_crypt
from oms.agent.guests.containers import IdMap, outside
from oms.agent.host import foreign_root
from oms.agent.host.foreign_root import Unfit
from oms.contract.types import Secret

RESOLV, SHADOW, HOSTNAME, HOSTS = "etc/resolv.conf", "etc/shadow", "etc/hostname", "etc/hosts"
DAY_SECONDS = 86400
LOCAL_NAME = "127.0.1.1"


def resolver(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name servers and search domains; none where it is left to something that runs in the container."""
    try:
        content = foreign_root.read(root, RESOLV)
    except (OSError, Unfit):
        return (), ()
    return resolver_of((content or b"").decode(errors="replace"))


def resolver_of(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name servers and search domains of such a file's text; the words are a stranger's."""
    servers: list[str] = []
    domains: list[str] = []
    for line in text.splitlines():
        keyword, *words = [word for word in line.split() if _plain(word)] or [""]
        if keyword == "nameserver":
            servers += words[:1]
        elif keyword in {"search", "domain"}:
            domains = words
    return tuple(servers[:8]), tuple(domains[:8])


def with_resolver(text: str, servers: tuple[str, ...] | None, domains: tuple[str, ...] | None) -> str:
    """The text with others; None leaves them."""
    replaced = {"nameserver"} if servers is not None else set()
    replaced |= {"search", "domain"} if domains is not None else set()
    kept = [line for line in text.splitlines() if not line.split() or line.split()[0] not in replaced]
    search = [f"search {' '.join(domains)}"] if domains else []
    return "".join(f"{line}\n" for line in (*search, *kept, *(f"nameserver {server}" for server in servers or ())))


def set_resolver(root: Path, ids: IdMap, servers: tuple[str, ...] | None, domains: tuple[str, ...] | None) -> None:
    """Write them down. Raises Unfit, OSError."""
    try:
        text = (foreign_root.read(root, RESOLV) or b"").decode(errors="replace")
    except Unfit:
        text = ""  # a link to what a resolver of its own made: it is a file of ours from now on
    _put(root, ids, RESOLV, with_resolver(text, servers, domains))


def set_hostname(root: Path, ids: IdMap, name: str) -> None:
    """Write it down where systems look for it at their start. Raises Unfit, OSError."""
    _put(root, ids, HOSTNAME, f"{name}\n")
    text = (foreign_root.read(root, HOSTS) or b"127.0.0.1 localhost\n").decode(errors="replace")
    _put(root, ids, HOSTS, with_local_name(text, name))


def with_local_name(text: str, name: str) -> str:
    """The text of a hosts file in which the machine has that name."""
    short = name.partition(".")[0]
    kept = [line for line in text.splitlines() if line.split()[:1] != [LOCAL_NAME]]
    words = " ".join(dict.fromkeys((name, short)))
    return "\n".join([*kept, f"{LOCAL_NAME} {words}"]) + "\n"


def set_password(root: Path, ids: IdMap, password: Secret) -> None:
    """Give root that password. Raises Unfit where there is no account of that name, OSError."""
    content = foreign_root.read(root, SHADOW)
    if content is None:
        raise Unfit("there is no /etc/shadow, so it keeps no passwords")
    today = int(time.time()) // DAY_SECONDS
    text = with_password(content.decode(errors="surrogateescape"), sha512_crypt.hashed(password.reveal()), today)
    _put(root, ids, SHADOW, text, 0o640)


def with_password(text: str, hashed: str, today: int) -> str:
    """The text of a shadow file in which root's password is another, which does not expire. Raises Unfit."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        name, colon, rest = line.partition(":")
        if name == "root" and colon:
            fields = (rest.split(":") + [""] * 7)[:8]
            fields[0], fields[1], fields[6] = hashed, str(today), ""
            lines[number] = ":".join(("root", *fields[:7], fields[7]))
            return "\n".join(lines) + "\n"
    raise Unfit("/etc/shadow has no root")


def _put(root: Path, ids: IdMap, path: str, text: str, mode: int = 0o644) -> None:
    owner = outside(ids, "user", 0), outside(ids, "group", 0)
    foreign_root.replace(root, path, text.encode(errors="surrogateescape"), owner=owner, mode=mode)


def _plain(word: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", word) is not None
