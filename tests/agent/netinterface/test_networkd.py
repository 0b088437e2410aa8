"""Files of systemd-networkd: what the administrator's say, and what OMS writes beside them."""

from pathlib import Path

import pytest

from oms.agent.host.network import Link, Network
from oms.agent.netinterface.files.networkd import Networkd, matches, sections
from oms.agent.netinterface.kept import Kept, KeptBridge, KeptLink, KeptRoute, Theirs
from oms.contract.errors import NotSupported

NET = Network(
    (Link("lo", loopback=True), Link("eth0", mac="52:54:00:00:00:01"), Link("eth1"), Link("vmbr0", "bridge"))
)
FILES = {
    "10-card.network": "[Match]\nName=eth0\n\n[Network]\nAddress=10.0.0.2/24\nGateway=10.0.0.1\n",
    "20-others.network": "# all cards\n[Match]\nName=eth* en*\n[Network]\nDHCP=yes\n",
    "30-bridge.netdev": "[NetDev]\nName=vmbr0\nKind=bridge\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "etc/systemd/network"
    place.mkdir(parents=True)
    for name, text in FILES.items():
        (place / name).write_text(text)
    return tmp_path


def test_what_the_administrators_files_say_is_read(root: Path) -> None:
    assert dict(Networkd(root).theirs(NET)) == {
        "eth0": Theirs("10-card.network", addressed=True, gateway=True),
        "eth1": Theirs("20-others.network", addressed=True, gateway=True, exact=False),
        "vmbr0": Theirs("30-bridge.netdev"),
    }


def test_of_one_name_the_administrators_place_comes_first(root: Path) -> None:
    place = root / "usr/lib/systemd/network"
    place.mkdir(parents=True)
    (place / "10-card.network").write_text("[Match]\nName=eth1\n")
    assert "eth1" in Networkd(root).theirs(NET)
    assert Networkd(root).theirs(NET)["eth0"].addressed


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[Match]\nName=eth0", {"eth0"}),
        ("[Match]\nName=!lo", {"eth0", "eth1", "vmbr0"}),
        ("[Match]\nName=eth*\nMACAddress=52:54:00:00:00:01", {"eth0"}),
        ("[Match]\nType=ether\nKind=!*", {"eth0", "eth1"}),
        ("[Match]\nKind=bridge", {"vmbr0"}),
        ("[Match]\nSSID=home\nName=*", set()),
        ("[Network]\nDHCP=yes", set()),
    ],
)
def test_which_links_a_file_is_about_is_told_as_networkd_does(text: str, names: set[str]) -> None:
    assert {link.name for link in NET.links if matches(sections(text), link)} == names


def test_bridges_are_written_before_all_other_files(root: Path) -> None:
    kept = Kept(
        (KeptBridge("br0", ("10.5.0.1/24",), ("eth1",), "52:54:00:00:00:02"),),
        (KeptRoute("0.0.0.0/0", "10.5.0.254", "br0", 1024), KeptRoute("10.7.0.0/16", "", "eth0")),
        (KeptLink("eth3", ("10.9.0.2/24",)),),
    )
    way = Networkd(root)
    way.check(kept, NET)
    way.write(kept)
    place = root / "etc/systemd/network"
    names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert names - FILES.keys() == {
        "00-oms-br0.netdev", "00-oms-br0.network", "00-oms-eth1.network", "00-oms-eth3.network",
        "10-card.network.d/50-oms.conf",
    }  # fmt: skip
    said = sections((place / "00-oms-br0.network").read_text())
    assert ("Network", "Address", "10.5.0.1/24") in said
    assert [line for line in said if line[0] == "Route"] == [
        ("Route", "Destination", "0.0.0.0/0"), ("Route", "Gateway", "10.5.0.254"), ("Route", "Metric", "1024"),
    ]  # fmt: skip
    assert ("NetDev", "MACAddress", "52:54:00:00:00:02") in sections((place / "00-oms-br0.netdev").read_text())
    assert ("Network", "Bridge", "br0") in sections((place / "00-oms-eth1.network").read_text())
    assert sections((place / "10-card.network.d/50-oms.conf").read_text()) == [
        ("Route", "Destination", "10.7.0.0/16"), ("Route", "Scope", "link"),
    ]  # fmt: skip
    way.write(Kept())
    assert {path.name for path in place.rglob("*") if path.is_file()} == FILES.keys()


def test_a_route_over_a_link_that_no_file_is_about_alone_is_refused(root: Path) -> None:
    for name in ("eth1", "eth9", "vmbr0"):
        with pytest.raises(NotSupported, match=f"about {name} alone"):
            Networkd(root).check(Kept(routes=(KeptRoute("10.7.0.0/16", "", name),)), NET)


def test_only_the_hosts_own_networkd_is_told() -> None:
    assert Networkd(Path("/elsewhere")).reload() == []
    assert Networkd(Path("/")).reload() == ["networkctl", "reload"]
