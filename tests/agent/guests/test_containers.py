"""The port's containers: what is the same for all of them, and the fake of them against the conformance suite."""

from pathlib import Path

import pytest

from oms.agent.guests.containers import (
    ContainerChange,
    Containers,
    ContainerSettings,
    IdRange,
    NewContainer,
    changed,
    outside,
)
from oms.agent.guests.fake import FakeContainers
from tests.agent.guests import conformance

IDS = (IdRange("user", 0, 100000, 65536), IdRange("group", 0, 200000, 10))


def test_an_id_in_a_container_is_another_outside() -> None:
    assert outside(IDS, "user", 33) == 100033
    assert outside(IDS, "group", 9) == 200009
    assert outside((), "user", 33) == 33
    with pytest.raises(ValueError, match="no group 10"):
        outside(IDS, "group", 10)


def test_what_a_change_does_not_name_stays() -> None:
    before = ContainerSettings(hostname="a", memory_kb=1, addresses=("10.0.0.1",))
    assert changed(before, ContainerChange(addresses=())) == ContainerSettings(hostname="a", memory_kb=1)


async def test_the_fake_keeps_the_port(tmp_path: Path) -> None:
    containers: Containers = FakeContainers(tmp_path)
    await conformance.container_lives(containers, "129", lambda _place: None)
    await containers.prepare(conformance.JOB, 0)
    await containers.create(conformance.JOB, NewContainer("7", ContainerSettings()))
    await conformance.guest_lives(containers, "7", "8")
