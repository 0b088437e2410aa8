"""systemd-networkd: files of OMS's own, read before all others; routes over the administrator's links in a
directory beside the file that is about that link. Every word is a checked name, number or address.
"""

import fnmatch
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from oms.agent.host.network import Link, Network
from oms.agent.netinterface.files import put
from oms.agent.netinterface.kept import Kept, KeptBridge, KeptRoute, Theirs
from oms.contract.errors import NotSupported

PLACES: Final = ("etc/systemd/network", "run/systemd/network", "usr/local/lib/systemd/network",
                 "usr/lib/systemd/network", "lib/systemd/network")  # fmt: skip
"""Of one name, the first is read; which is about a link, the names decide, whatever the place."""
FRONT: Final = "00-oms-"
BESIDE: Final = "50-oms.conf"
HEAD: Final = (
    "# Written by OMS, which writes this file anew with each change made through it (netinterfaceservices).\n"
)
ADDRESSING: Final = frozenset({"Address", "DHCP"})
Sections = list[tuple[str, str, str]]
"""(section, key, value), in the order of the file."""


class Networkd:
    """The files below `etc/systemd/network`."""

    keeps = True
    words = "systemd-networkd"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directory = root / PLACES[0]

    def theirs(self, network: Network) -> Mapping[str, Theirs]:
        """See Files."""
        found: dict[str, Theirs] = {}
        files = [(name, sections(text)) for name, text in self._files(".network")]
        made = {value: name for name, text in self._files(".netdev") for s, k, value in sections(text)
                if (s, k) == ("NetDev", "Name")}  # fmt: skip
        for link in network.links:
            for name, said in files:
                if matches(said, link):
                    found[link.name] = _theirs(name, said, link)
                    break
            else:
                if link.name in made:
                    found[link.name] = Theirs(made[link.name])
        return found

    def check(self, kept: Kept, network: Network) -> None:
        """See Files."""
        theirs = self.theirs(network)
        own = kept.writes_of()
        for route in kept.routes:
            if route.interface in own:
                continue
            file = theirs.get(route.interface)
            if file is None or not file.exact or not file.file.endswith(".network"):
                raise NotSupported(
                    f"No .network file of this host is about {route.interface} alone, so that a route could stand "
                    "beside it: give it one.",
                    interface=route.interface,
                )

    def write(self, kept: Kept) -> None:
        """See Files."""
        wanted = {self._directory / name: text for name, text in written(kept).items()}
        own = kept.writes_of()
        for name in dict.fromkeys(route.interface for route in kept.routes if route.interface not in own):
            if (file := self._about(name)) is not None:
                wanted[self._directory / f"{file}.d" / BESIDE] = HEAD + "".join(map(_route, kept.routes_of(name)))
        ours = [*self._directory.glob(f"{FRONT}*"), *self._directory.glob(f"*.network.d/{BESIDE}")]
        for path in (*wanted, *(path for path in ours if path not in wanted)):
            put(path, wanted.get(path, ""))

    def reload(self) -> list[str]:
        """See Files."""
        return ["networkctl", "reload"] if self._root == Path("/") else []

    def _about(self, link: str) -> str | None:
        """The file that names the link."""
        for name, text in self._files(".network"):
            if ("Match", "Name", link) in sections(text):
                return name
        return None

    def _files(self, ending: str) -> list[tuple[str, str]]:
        """All but OMS's, in the order in which they are asked about a link. Raises OSError."""
        found: dict[str, Path] = {}
        for place in PLACES:
            for path in (self._root / place).glob(f"*{ending}"):
                if not path.name.startswith(FRONT) and path.is_file():
                    found.setdefault(path.name, path)
        return [(name, found[name].read_text(errors="replace")) for name in sorted(found)]


def sections(text: str) -> Sections:
    """What a file says, as systemd.syntax(7) has it."""
    found: Sections = []
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1]
        elif stripped and stripped[0] not in "#;" and "=" in stripped:
            key, _, value = stripped.partition("=")
            found.append((section, key.strip(), value.strip()))
    return found


def matches(said: Sections, link: Link) -> bool:
    """Whether a file is about a link. One that is about what cannot be told here is taken to be about none."""
    about = [(key, value) for section, key, value in said if section == "Match"]
    return bool(about) and all(_fits(key, value, link) for key, value in about)


def _fits(key: str, value: str, link: Link) -> bool:
    match key:
        case "Name":
            return _one_of(value, link.name)
        case "MACAddress" | "PermanentMACAddress":
            return link.mac in value.lower().split()
        case "Kind":
            return _one_of(value, link.kind) if link.kind else value.startswith("!")
        case "Type":
            return _one_of(value, "loopback" if link.loopback else "ether")
    return False


def _one_of(patterns: str, name: str) -> bool:
    no = patterns.startswith("!")
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns.removeprefix("!").split()) != no


def _theirs(name: str, said: Sections, link: Link) -> Theirs:
    network = [(key, value) for section, key, value in said if section == "Network"]
    addressed = any(key in ADDRESSING and value not in ("no", "false", "") for key, value in network)
    gateway = any((section, key) in (("Network", "Gateway"), ("Route", "Gateway")) for section, key, _ in said)
    bridge = any(key in ("Bridge", "Bond") for key, _ in network)
    return Theirs(
        name,
        addressed or bridge or any(section == "Address" for section, _, _ in said),
        gateway or any(key == "DHCP" for key, _ in network),
        ("Match", "Name", link.name) in said,
    )


def written(kept: Kept) -> dict[str, str]:
    """The files of bridges and their members, by name."""
    files: dict[str, str] = {}
    for bridge in kept.bridges:
        files[f"{FRONT}{bridge.name}.netdev"] = _device(bridge)
        files[f"{FRONT}{bridge.name}.network"] = _network(bridge.name, bridge.addresses, kept)
        for member in bridge.members:
            lines = f"[Match]\nName={member}\n\n[Network]\nBridge={bridge.name}\nLinkLocalAddressing=no\n"
            files[f"{FRONT}{member}.network"] = HEAD + lines
    for link in kept.links:
        files[f"{FRONT}{link.name}.network"] = _network(link.name, link.addresses, kept)
    return files


def _device(bridge: KeptBridge) -> str:
    mac = [f"MACAddress={bridge.mac}"] if bridge.mac else []
    lines = ["[NetDev]", f"Name={bridge.name}", "Kind=bridge", *mac, "", "[Bridge]", "STP=no", "ForwardDelaySec=0"]
    return HEAD + "\n".join(lines) + "\n"


def _network(name: str, addresses: tuple[str, ...], kept: Kept) -> str:
    # A bridge without a member has no carrier, and must come up all the same.
    lines = ["[Match]", f"Name={name}", "", "[Network]", "ConfigureWithoutCarrier=yes"]
    lines += [f"Address={address}" for address in addresses]
    return HEAD + "\n".join(lines) + "\n" + "".join(map(_route, kept.routes_of(name)))


def _route(route: KeptRoute) -> str:
    lines: Iterator[str] = iter(
        line
        for line in (
            f"Destination={route.destination}",
            f"Gateway={route.gateway}" if route.gateway else "Scope=link",
            f"Metric={route.metric}" if route.metric else "",
        )
        if line
    )
    return "\n[Route]\n" + "\n".join(lines) + "\n"
