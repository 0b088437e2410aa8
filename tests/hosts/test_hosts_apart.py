"""A container goes between two hosts that share nothing but a wire: each has a network of its own, in which its
agent listens and its containers run."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.hosts.container_fleet import SOON, Fleet, apart, moving
from tests.hosts.libvirtd import PrivateLibvirtd

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("rsync"), reason="needs root and rsync"),
]


@pytest.fixture(scope="module")
def fleet(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with apart(tmp_path_factory.mktemp("oms"), libvirtd.uri) as made:
        yield made


@pytest.mark.parametrize("late", [False, True])
def test_a_host_whose_agent_is_killed_while_a_container_leaves_it_has_it_or_has_given_it_away(
    fleet: Fleet, late: bool
) -> None:
    """Early, its files are on their way; late, it has its place over there already."""
    ctid = "141"
    before = fleet.made(ctid, large=True)
    fleet.ovz("start_vm", ctid)
    with moving(fleet, ctid) as ended:
        if late:
            fleet.until((fleet.paths["node2"] / ctid / "config").exists, "it does not come over")
        fleet.oms.kill("agent")
        fleet.oms.start("agent")
        fleet.oms.wait_for_host(fleet.caller)
        assert bool(ended.result(SOON)) is not late
    fleet.until(lambda: fleet.job()["state"] != "running", "the job does not end")
    its = "node2" if late else "node1"
    assert fleet.where(ctid) == {its: "running"}
    assert fleet.content(its, ctid) == before
    staging = [path / ".staging" for path in fleet.paths.values()]
    fleet.until(lambda: not any(any(place.glob("*")) for place in staging), "something is left of it")
    fleet.ovz("delete_vm", ctid, host=its)
