"""The port's conformance suite against the hypervisors that are real: libvirt and LXC."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.agent.guests.containers import IdMap
from oms.agent.guests.libvirt import LibvirtMachines
from tests.agent.guests import conformance
from tests.hosts import rootfs
from tests.hosts.conftest import MakeDomain
from tests.hosts.containers import lxc
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.lxc_path import by_hand, lxc_path

pytestmark = pytest.mark.hosts


@pytest.fixture
def path() -> Iterator[Path]:
    with lxc_path() as made:
        yield made


async def test_libvirt_keeps_the_port(libvirtd: PrivateLibvirtd, make_domain: MakeDomain) -> None:
    uuid = make_domain("conformant", memory_mb=32, boot=False).domain.UUIDString()
    machines = LibvirtMachines(libvirtd.uri, "qemu")
    assert await machines.begin(10)
    try:
        await conformance.guest_lives(machines, uuid, "00000000-0000-4000-8000-000000000000")
    finally:
        await machines.close()


@pytest.mark.parametrize("ids", ["", "none"], ids=["unprivileged", "privileged"])
async def test_lxc_keeps_the_port(path: Path, ids: str) -> None:
    containers = await lxc(path, ids)
    known: IdMap = containers.capabilities.ids
    try:
        await conformance.container_lives(containers, "129", lambda place: rootfs.tiny(place, known))
        rootfs.tiny(path / "root")
        by_hand(path, "by-hand", path / "root")
        await conformance.guest_lives(containers, "by-hand", "8")
    finally:
        await containers.close()
    assert sorted(place.name for place in path.iterdir()) == [".booted", ".staging", "by-hand", "root"]
    assert list((path / ".staging").iterdir()) == []
