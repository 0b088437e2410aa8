"""The network of new machines where nobody has said one."""

from pathlib import Path

import pytest

from oms.agent.host.links import bridges
from oms.agent.kvm.network import Network, choose
from oms.contract.errors import NotThere


def test_the_bridge_that_was_set_goes_before_all() -> None:
    assert choose("br7", {"vmbr0", "br7"}, {"default"}) == Network("bridge", "br7")


def test_a_bridge_that_was_set_and_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NotThere, match=r"no bridge 'br7', .* its bridges are: br1, vmbr0") as caught:
        choose("br7", {"vmbr0", "br1"}, {"default"})
    assert caught.value.data == {"bridge": "br7"}
    with pytest.raises(NotThere, match="its bridges are: none"):
        choose("br7", (), {"default"})


def test_without_a_setting_it_is_the_usual_bridge_then_libvirts_network_then_none() -> None:
    assert choose("", {"vmbr0", "br1"}, {"default"}) == Network("bridge", "vmbr0")
    assert choose("", {"br1"}, {"default", "other"}) == Network("network", "default")
    assert choose("", {"br1"}, {"other"}) is None


def test_bridges_are_told_from_other_links(tmp_path: Path) -> None:
    for entry in ("vmbr0/bridge", "eth0/device", "lo"):
        (tmp_path / entry).mkdir(parents=True)
    assert bridges(tmp_path) == {"vmbr0"}
    assert bridges(tmp_path / "none") == frozenset()
