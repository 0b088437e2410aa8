"""Files of ifupdown: what the administrator's say, and what OMS writes beside them."""

import os
from pathlib import Path

import pytest

from oms.agent.netinterface import files
from oms.agent.netinterface.files import NoFiles, detect
from oms.agent.netinterface.files.ifupdown import Ifupdown, parts, written
from oms.agent.netinterface.kept import Kept, KeptBridge, KeptLink, KeptRoute, Theirs
from oms.contract.errors import ConfigurationReadError, FuncManError, NotSupported
from tests.agent.netinterface.world import usual
from tests.hosts.net_host import ifupdown_root

SITE = """
# the usual
auto eth0 vmbr0
allow-hotplug eth9
iface eth0 inet manual
iface vmbr0 inet static
    address 10.0.0.2
    netmask 255.255.255.0
    gateway \\
        10.0.0.1
    bridge-ports eth0
    up echo hello
iface vmbr0 inet6 auto
iface eth1 inet dhcp
"""
KEPT = Kept(
    bridges=(
        KeptBridge("br0", ("fd00::1/64", "10.5.0.1/24", "10.6.0.1/24"), ("eth1", "eth2"), "52:54:00:00:00:01"),
        KeptBridge("br1"),
    ),
    routes=(
        KeptRoute("0.0.0.0/0", "10.5.0.254", "br0", 1024),
        KeptRoute("10.7.0.0/16", "", "eth0"),
        KeptRoute("10.8.0.0/16", "10.7.0.1", "eth0"),
    ),
    links=(KeptLink("eth3", ("10.9.0.2/24",)),),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    ifupdown_root(tmp_path, SITE)
    return tmp_path


def test_what_the_administrators_files_say_is_read(root: Path) -> None:
    (root / "etc/network/interfaces.d/more").write_text("iface eth2 inet static\n address 10.2.0.1/24\n")
    (root / "etc/network/interfaces.d/.hidden").write_text("iface eth3 inet dhcp\n")
    (root / "etc/network/interfaces.d/oms").write_text("iface br0 inet manual\n")
    assert dict(Ifupdown(root).theirs(usual())) == {
        "lo": Theirs("interfaces", addressed=True),
        "eth0": Theirs("interfaces"),
        "vmbr0": Theirs("interfaces", addressed=True, gateway=True),
        "eth1": Theirs("interfaces", addressed=True),
        "eth2": Theirs("more", addressed=True),
    }


def test_files_that_name_each_other_are_read_once(tmp_path: Path) -> None:
    ifupdown_root(tmp_path)
    (tmp_path / "etc/network/interfaces").write_text("source interfaces\nsource-directory interfaces.d\n")
    (tmp_path / "etc/network/interfaces.d/a").write_text("source ../interfaces\niface a inet manual\n")
    assert list(Ifupdown(tmp_path).theirs(usual())) == ["a"]


def test_a_part_ends_where_another_begins() -> None:
    first, second = parts(
        "iface a inet static\n address 1.2.3.4\nallow-hotplug b\n mtu 9\niface b inet dhcp\n", "f"
    )
    assert (first.options, second.options) == ((("address", "1.2.3.4"),), ())


def test_bridges_are_written_so_that_ifup_makes_them() -> None:
    assert (
        written(KEPT, second=False).partition("\n\n")[2]
        == """\
auto eth3
iface eth3 inet static
    address 10.9.0.2/24

auto br0
iface br0 inet static
    address 10.5.0.1/24
    bridge_ports eth1 eth2
    bridge_stp off
    bridge_fd 0
    bridge_maxwait 0
    hwaddress 52:54:00:00:00:01

iface br0 inet static
    address 10.6.0.1/24

iface br0 inet6 static
    address fd00::1/64
    post-up ip route replace 0.0.0.0/0 via 10.5.0.254 dev br0 metric 1024 proto static || true

auto br1
iface br1 inet manual
    bridge_ports none
    bridge_stp off
    bridge_fd 0
    bridge_maxwait 0
"""
    )


def test_routes_over_the_administrators_links_are_put_in_when_those_are_up(root: Path) -> None:
    Ifupdown(root).write(KEPT)
    script = root / "etc/network/if-up.d/oms"
    assert os.access(script, os.X_OK)
    assert (
        script.read_text().partition("case")[2]
        == """ "$IFACE" in
eth0)
    ip route replace 10.7.0.0/16 dev eth0 proto static || true
    ip route replace 10.8.0.0/16 via 10.7.0.1 dev eth0 proto static || true
    ;;
esac
exit 0
"""
    )


def test_ifupdown2_has_them_in_its_own_file(root: Path) -> None:
    (root / "etc/network/ifupdown2").mkdir()
    Ifupdown(root).write(KEPT)
    assert not (root / "etc/network/if-up.d/oms").exists()
    assert "iface eth0 inet manual\n    post-up ip route" in (root / "etc/network/interfaces.d/oms").read_text()


def test_what_is_kept_no_more_leaves_no_file_and_no_line_of_others_is_touched(root: Path) -> None:
    before = (root / "etc/network/interfaces").read_bytes()
    way = Ifupdown(root)
    files.keep(way, root, KEPT)
    assert files.read(root) == KEPT
    files.keep(way, root, Kept())
    assert not list((root / "etc/network/interfaces.d").iterdir())
    assert not list((root / "etc/network/if-up.d").iterdir())
    assert (root / "etc/network/interfaces").read_bytes() == before


def test_a_host_whose_files_would_not_read_ours_is_told_so(root: Path) -> None:
    Ifupdown(root).check(KEPT, usual())
    (root / "etc/network/if-pre-up.d/bridge").unlink()
    with pytest.raises(NotSupported, match="apt-get install bridge-utils"):
        Ifupdown(root).check(KEPT, usual())
    Ifupdown(root).check(Kept(routes=KEPT.routes), usual())
    (root / "etc/network/interfaces").write_text(SITE)
    with pytest.raises(NotSupported, match="source"):
        Ifupdown(root).check(Kept(), usual())


def test_what_oms_keeps_is_never_guessed(root: Path) -> None:
    assert files.read(root) == Kept()
    (root / "etc/oms").mkdir()
    (root / "etc/oms/network.json").write_text('{"bridges": 1}')
    with pytest.raises(ConfigurationReadError, match=r"network\.json") as error:
        files.read(root)
    assert str(root) not in error.value.message


def test_a_file_that_cannot_be_written_is_said_without_its_place(root: Path) -> None:
    (root / "etc/network/interfaces.d/oms").mkdir()
    with pytest.raises(FuncManError, match="cannot be written") as error:
        files.keep(Ifupdown(root), root, KEPT)
    assert str(root) not in error.value.message


def test_how_a_host_comes_up_is_detected(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bare = tmp_path_factory.mktemp("bare")
    assert isinstance(detect("auto", bare), NoFiles)
    assert isinstance(detect("auto", root), NoFiles)  # there is no ifup
    (root / "sbin").mkdir()
    (root / "sbin/ifup").write_text("")
    (root / "sbin/ifup").chmod(0o755)
    assert detect("auto", root).words == "ifupdown"
    assert isinstance(detect("none", root), NoFiles)
    (root / "run/NetworkManager").mkdir(parents=True)
    assert "NetworkManager" in detect("auto", root).words
    (root / "run/systemd/netif").mkdir(parents=True)
    (root / "run/systemd/netif/state").write_text("")
    assert detect("auto", root).words == "systemd-networkd"
    assert detect("ifupdown", bare).words == "ifupdown"
    assert detect("networkd", bare).words == "systemd-networkd"
