"""ifupdown (Debian's) and ifupdown2 (its successor): bridges in `interfaces.d/oms`, routes beside them.

Routes over links of the administrator's are put in by a script in `if-up.d`, which comes after all that his files
say of a link; ifupdown2, which runs no such scripts, takes them from a further part about the link. Every word of
these files is a checked name, number or address.
"""

import fnmatch
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from oms.agent.host.network import Network
from oms.agent.netinterface.files import put
from oms.agent.netinterface.kept import Kept, KeptBridge, KeptLink, KeptRoute, Theirs
from oms.contract.errors import NotSupported

INTERFACES: Final = "interfaces"
OURS: Final = "interfaces.d/oms"
SCRIPT: Final = "if-up.d/oms"
HEAD: Final = """\
# Written by OMS, which writes this file anew with each change made through it (netinterfaceservices).
# Whatever else is to hold for this host belongs into other files: OMS leaves those alone.
"""
MOST_FILES: Final = 200
BEGINNINGS: Final = frozenset(
    {
        "iface", "auto", "mapping", "source", "source-directory", "source-dir", "template", "no-auto-down",
        "no-scripts", "rename", "vlan",
    }
)  # fmt: skip
"""Words that end the part before."""
WITHOUT_ADDRESS: Final = frozenset({"manual"})


class Part(msgspec.Struct, frozen=True):
    """What an `iface` part says."""

    file: str
    name: str
    method: str
    options: tuple[tuple[str, str], ...] = ()


class Ifupdown:
    """The files below `etc/network`."""

    keeps = True

    def __init__(self, root: Path) -> None:
        self._directory = root / "etc/network"
        self._second = (self._directory / "ifupdown2").is_dir()
        self._bridges = (
            self._second
            or (root / "usr/share/bridge-utils").exists()
            or (self._directory / "if-pre-up.d/bridge").exists()
        )
        self.words = "ifupdown2" if self._second else "ifupdown"

    def theirs(self, network: Network) -> Mapping[str, Theirs]:  # noqa: ARG002 - parts name their links
        """See Files."""
        found: dict[str, Theirs] = {}
        for part in self._parts():
            known = found.get(part.name, Theirs(part.file))
            options = dict(part.options)
            found[part.name] = Theirs(
                known.file,
                known.addressed or part.method not in WITHOUT_ADDRESS or "address" in options,
                known.gateway or "gateway" in options,
            )
        return found

    def check(self, kept: Kept, network: Network) -> None:  # noqa: ARG002
        """See Files."""
        if not self._reads_ours():
            raise NotSupported(
                "This host's file 'interfaces' does not read those in interfaces.d, where OMS would write: add "
                "the "
                "line `source interfaces.d/*` to it."
            )
        if kept.bridges and not self._bridges:
            raise NotSupported("This host brings up no bridges at its start: apt-get install bridge-utils.")

    def write(self, kept: Kept) -> None:
        """See Files."""
        put(self._directory / OURS, written(kept, second=self._second))
        put(self._directory / SCRIPT, "" if self._second else script(kept), 0o755)

    def reload(self) -> list[str]:
        """See Files: nothing runs that would have to be told."""
        return []

    def _reads_ours(self) -> bool:
        return any(path == self._directory / OURS for path, _ in self._files(missing=self._directory / OURS))

    def _parts(self) -> Iterator[Part]:
        for path, text in self._files():
            if path != self._directory / OURS:
                yield from parts(text, path.name)

    def _files(self, missing: Path | None = None) -> Iterator[tuple[Path, str]]:
        """Every file that is read at the host's start; `missing` as if it were there. Raises OSError."""
        waiting, seen = [self._directory / INTERFACES], set[Path]()
        while waiting and len(seen) < MOST_FILES:
            path = waiting.pop(0)
            if path in seen:
                continue
            seen.add(path)
            if path == missing and not path.exists():
                yield path, ""
                continue
            if not path.is_file():
                continue
            text = path.read_text(errors="replace")
            yield path, text
            for kind, pattern in sources(text):
                waiting += self._named(path.parent, kind, pattern, missing)

    def _named(self, here: Path, kind: str, pattern: str, missing: Path | None) -> list[Path]:
        """The files that such a line names; a relative name starts at the file that has it. In tests the whole
        lies elsewhere than at the root, and so does what an absolute name means."""
        where = pattern if not pattern.startswith("/") else self._rooted(pattern)
        whole = str(here / where)
        if kind == "source-directory":
            whole += "/*"
        directory = Path(whole).parent
        names = {path for path in directory.iterdir() if path.is_file()} if directory.is_dir() else set()
        names |= {missing} if missing is not None and missing.parent == directory else set()
        return sorted(path for path in names if fnmatch.fnmatchcase(str(path), whole) and path.name[:1] != ".")

    def _rooted(self, pattern: str) -> str:
        usual = "/etc/network/"
        return str(self._directory / pattern.removeprefix(usual)) if pattern.startswith(usual) else pattern


def sources(text: str) -> Iterator[tuple[str, str]]:
    """The lines that name further files: `source` or `source-directory`, and what they name."""
    for words in _lines(text):
        if words[0] in ("source", "source-directory", "source-dir") and len(words) > 1:
            kind = "source" if words[0] == "source" else "source-directory"
            yield from ((kind, word.strip("\"'")) for word in words[1:])


def parts(text: str, file: str) -> Iterator[Part]:
    """The `iface` parts of a file, as interfaces(5) has them."""
    part: Part | None = None
    for words in _lines(text):
        if words[0] in BEGINNINGS or words[0].startswith("allow-"):
            if part is not None:
                yield part
            part = None
            if words[0] == "iface" and len(words) > 1:
                part = Part(file, words[1], words[3] if len(words) > 3 else "")
        elif part is not None:
            option = words[0].replace("-", "_"), " ".join(words[1:])
            part = msgspec.structs.replace(part, options=(*part.options, option))
    if part is not None:
        yield part


def _lines(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words


def written(kept: Kept, *, second: bool) -> str:
    """The file of bridges; "" where there is nothing to say."""
    blocks = [block for link in kept.links for block in _link(link, kept.routes_of(link.name))]
    blocks += [block for bridge in kept.bridges for block in _bridge(bridge, kept.routes_of(bridge.name))]
    if second:
        names = kept.writes_of()
        others = dict.fromkeys(route.interface for route in kept.routes if route.interface not in names)
        blocks += ["\n".join([f"iface {name} inet manual", *_ups(kept.routes_of(name))]) for name in others]
    return HEAD + "".join(f"\n{block}\n" for block in blocks) if blocks else ""


def _bridge(bridge: KeptBridge, routes: list[KeptRoute]) -> Iterator[str]:
    ports = " ".join(bridge.members) or "none"
    first = [f"    bridge_ports {ports}", "    bridge_stp off", "    bridge_fd 0", "    bridge_maxwait 0"]
    first += [f"    hwaddress {bridge.mac}"] if bridge.mac else []
    yield from _parts(bridge.name, bridge.addresses, first, routes)


def _link(link: KeptLink, routes: list[KeptRoute]) -> Iterator[str]:
    yield from _parts(link.name, link.addresses, [], routes)


def _parts(name: str, addresses: tuple[str, ...], first: list[str], routes: list[KeptRoute]) -> Iterator[str]:
    """A part for each address: the first, IPv4's where there is one, makes the link, and the last has the
    routes."""
    heads = [
        [f"iface {name} {'inet6' if ':' in address else 'inet'} static", f"    address {address}"]
        for address in sorted(addresses, key=lambda address: ":" in address)
    ] or [[f"iface {name} inet manual"]]
    heads[0] += first
    heads[-1] += _ups(routes)
    heads[0].insert(0, f"auto {name}")
    yield from ("\n".join(head) for head in heads)


def _ups(routes: list[KeptRoute]) -> list[str]:
    return [f"    post-up {_command(route)} || true" for route in _from_below(routes)]


def script(kept: Kept) -> str:
    """What puts routes in over links that are not OMS's, when those are up; "" where there are none."""
    names = kept.writes_of()
    others = dict.fromkeys(route.interface for route in kept.routes if route.interface not in names)
    if not others:
        return ""
    cases = "".join(
        f"{shlex.quote(name)})\n"
        + "".join(f"    {_command(route)} || true\n" for route in _from_below(kept.routes_of(name)))
        + "    ;;\n"
        for name in others
    )
    return f'#!/bin/sh\n{HEAD}case "$IFACE" in\n{cases}esac\nexit 0\n'


def _command(route: KeptRoute) -> str:
    six = ["-6"] if ":" in route.destination else []
    way = ["via", route.gateway] if route.gateway else []
    metric = ["metric", str(route.metric)] if route.metric else []
    words = ["ip", *six, "route", "replace", route.destination, *way, "dev", route.interface, *metric]
    return shlex.join([*words, "proto", "static"])


def _from_below(routes: list[KeptRoute]) -> list[KeptRoute]:
    return sorted(routes, key=lambda route: bool(route.gateway))
