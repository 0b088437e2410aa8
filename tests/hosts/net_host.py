"""A host with a network of its own: an agent in a network namespace, joined by a line to OMS's."""

import contextlib
import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.stack import Stack


def why_not() -> str | None:
    """Why there are no network namespaces here, for a skipped test; None where there are."""
    if not shutil.which("ip"):
        return "needs iproute2 (scripts/bootstrap test installs it)"
    tried = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)
    return f"needs network namespaces: {tried.stderr.decode().strip()}" if tried.returncode else None


class Lan:
    """A network that this machine and the places on it share, by a bridge here."""

    def __init__(self) -> None:
        self.bridge = f"omsb{secrets.token_hex(3)}"
        self.net = f"198.19.{secrets.randbelow(256)}"
        self.near = f"{self.net}.1"

    def __enter__(self) -> "Lan":
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "addr", "add", f"{self.near}/24", "dev", self.bridge)
        _run("ip", "link", "set", self.bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "link", "del", self.bridge], check=False, capture_output=True)


class Place:
    """A network namespace with the card `eth0`, at whose other end this machine is, or a network of several."""

    def __init__(self, lan: Lan | None = None, number: int = 2) -> None:
        """`number`: the last of its address there."""
        self._lan = lan
        self.name = f"oms-net-{secrets.token_hex(3)}"
        self._far = f"omsv{secrets.token_hex(3)}"
        self.net = lan.net if lan else f"198.18.{secrets.randbelow(256)}"
        self.near, self.own = f"{self.net}.1", f"{self.net}.{number}"

    def run(self, *words: str) -> str:
        """What a program says that runs there; it must succeed."""
        return _run("ip", "netns", "exec", self.name, *words)

    def front(self) -> list[str]:
        """The words before a command that has the network there, and all else as it is here: its control groups
        too, which `ip netns exec` hides."""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--"]

    def ip(self, *words: str) -> str:
        """`ip`, there."""
        return _run("ip", "-n", self.name, *words)

    def routes(self) -> set[str]:
        """Its main table, as `ip` words it, but for what is said of the moment."""
        return {line.replace(" linkdown", "").strip() for line in self.ip("route").splitlines()}

    def addresses(self, link: str) -> list[str]:
        """The IPv4 addresses of a link."""
        (found,) = json.loads(self.ip("-j", "-4", "addr", "show", "dev", link)) or [{"addr_info": []}]
        return [f"{one['local']}/{one['prefixlen']}" for one in found.get("addr_info", [])]

    def state(self) -> dict[str, Any]:
        """All that a change could leave behind: links, their masters, addresses and routes, IPv6 too."""
        links = json.loads(self.ip("-j", "addr"))
        return {
            "links": {
                one["ifname"]: (
                    "UP" in one["flags"],
                    one.get("master", ""),
                    one["address"],
                    sorted((a["local"], a["prefixlen"], a.get("label", "")) for a in one["addr_info"]
                           if a["scope"] != "link"),
                )
                for one in links
            },
            "routes": self.routes(),
            "routes6": {line for line in self.ip("-6", "route").splitlines() if "fe80::" not in line},
        }  # fmt: skip

    def __enter__(self) -> "Place":
        _run("ip", "netns", "add", self.name)
        try:
            _run("ip", "link", "add", self._far, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            if self._lan:
                _run("ip", "link", "set", self._far, "master", self._lan.bridge)
            else:
                _run("ip", "addr", "add", f"{self.near}/24", "dev", self._far)
            _run("ip", "link", "set", self._far, "up")
            self.ip("link", "set", "lo", "up")
            self.ip("link", "set", "eth0", "up")
            self.ip("addr", "add", f"{self.own}/24", "broadcast", "+", "dev", "eth0")
            self.ip("route", "add", "default", "via", self.near)
        except BaseException:
            self.__exit__()
            raise
        return self

    def card(self, name: str) -> None:
        """One more card, with nothing but a switch at its other end."""
        self.ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
        self.ip("link", "set", f"{name}-far", "up")
        self.ip("link", "set", name, "up")

    def __exit__(self, *_: object) -> None:
        for words in (("netns", "del", self.name), ("link", "del", self._far)):
            subprocess.run(["ip", *words], check=False, capture_output=True)


class Apart(Stack):
    """A stack whose agents run in places of their own, by the names of their processes: each host has its own
    network. All of them see the server at the same address."""

    def __init__(self, directory: Path, libvirt_uri: str, places: dict[str, Place], **agent_settings: str) -> None:
        super().__init__(directory, libvirt_uri, **agent_settings)
        self.places = places
        self._environment |= {
            "OMS_LISTEN": f"0.0.0.0:{self.port}",
            "OMS_BUS_LISTEN": f"0.0.0.0:{self.bus_port}",
            "OMS_NAMES": self.seen_by_agents,
        }

    @property
    def seen_by_agents(self) -> str:
        return next(iter(self.places.values())).near

    def _before(self, name: str) -> Sequence[str]:
        return self.places[name].front() if name in self.places else self._under


class Isolated(Apart):
    """A stack with one such agent."""

    def __init__(self, directory: Path, libvirt_uri: str, place: Place, **agent_settings: str) -> None:
        super().__init__(directory, libvirt_uri, {"agent": place}, **agent_settings)
        self.place = place

    @property
    def root(self) -> Path:
        """Where the host's network files are."""
        return self.directory / "network"

    def _before(self, name: str) -> Sequence[str]:
        return ["ip", "netns", "exec", self.place.name] if name == "agent" else self._under


@contextlib.contextmanager
def isolated(directory: Path, libvirt_uri: str, **agent_settings: str) -> Iterator[Isolated]:
    """A whole OMS with such a host, signed and connected."""
    if reason := why_not():
        pytest.skip(reason)
    with Place() as place:
        oms = Isolated(directory, libvirt_uri, place, **agent_settings)
        with oms:
            yield oms


def ifupdown_root(root: Path, interfaces: str = "") -> None:
    """Files as Debian's ifupdown has them, with these lines of the administrator's."""
    for name in ("interfaces.d", "if-up.d", "if-pre-up.d"):
        (root / "etc/network" / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/network/if-pre-up.d/bridge").write_text("#!/bin/sh\n")
    head = "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n"
    (root / "etc/network/interfaces").write_text(head + interfaces)


def _run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
