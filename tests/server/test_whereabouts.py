"""By which names and addresses a server is known, also while its network is late."""

import contextlib
import socket
from pathlib import Path
from typing import Self

import pytest

from oms.server import identity, whereabouts
from oms.server.config import ServerConfig


class Network:
    """What it tells this machine."""

    name, address = "oms1.example.org", "192.0.2.7"

    def socket(self, *_: int) -> contextlib.AbstractContextManager[Self]:
        return contextlib.nullcontext(self)

    def connect(self, _: tuple[str, int]) -> None:
        if not self.address:
            raise OSError(101, "Network is unreachable")

    def getsockname(self) -> tuple[str, int]:
        return self.address, 40000


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    monkeypatch.setattr(socket, "gethostname", lambda: "oms1")
    monkeypatch.setattr(socket, "getfqdn", lambda: made.name)
    monkeypatch.setattr(socket, "socket", made.socket)
    return made


def test_a_network_that_is_late_takes_no_name_and_no_address_away(tmp_path: Path, network: Network) -> None:
    config = ServerConfig(data=tmp_path, names=("oms.example.org",))
    there = identity.names(config)
    assert there[0] == ("oms.example.org", "oms1", "oms1.example.org", "localhost")
    assert "192.0.2.7" in there[1]
    network.name, network.address = "oms1", ""
    assert identity.names(config) == there
    assert "oms1.example.org" in whereabouts.names(config, whereabouts.last(config))


def test_what_it_tells_anew_takes_the_place_of_what_it_told(tmp_path: Path, network: Network) -> None:
    config = ServerConfig(data=tmp_path)
    identity.names(config)
    network.name, network.address = "oms1.example.net", "192.0.2.8"
    dns, addresses = identity.names(config)
    assert dns == ("oms1", "oms1.example.net", "localhost")
    assert addresses == ("127.0.0.1", "::1", "192.0.2.8")


def test_what_was_told_of_another_name_or_for_other_settings_is_not_remembered(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity.names(ServerConfig(data=tmp_path))
    network.name, network.address = "oms2", ""
    monkeypatch.setattr(socket, "gethostname", lambda: "oms2")
    here = ServerConfig(data=tmp_path, listen="127.0.0.1:8000", bus_listen="127.0.0.1:4222")
    assert identity.names(here) == (("oms2", "localhost"), ("127.0.0.1", "::1"))


def test_what_is_remembered_wrongly_is_as_nothing(tmp_path: Path, network: Network) -> None:
    config = ServerConfig(data=tmp_path)
    identity.names(config)
    (tmp_path / "server" / "tls" / "whereabouts.json").write_text("{")
    assert whereabouts.last(config) == whereabouts.Told()
