"""Which containers may leave a host and come to one, whatever a host that offers one says of it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms.agent.guests.containers import Container, ContainerCapabilities, ContainerSettings, IdRange, Network
from oms.agent.ovz.limits import Limits
from oms.agent.ovz.moving import rules
from oms.agent.ovz.moving.words import Offer
from oms.contract.errors import AlreadyThere, NotSupported
from oms.contract.ovz.migration import OpenVZMigrationNotCapable

IDS = (IdRange("user", 0, 100000, 65536), IdRange("group", 0, 100000, 65536))
LXC = ContainerCapabilities("lxc", pause=True, disk_limit="subvolume", ids=IDS)
SETTINGS = ContainerSettings(hostname="ct.example.org", memory_kb=65536, vcpus=1, addresses=("10.0.0.5",))
OFFER = Offer(SETTINGS, "", "", used_kb=1000, memory_kb=500, runs=True)
PLACE = rules.Place(
    capabilities=LXC,
    limits=Limits(max_vcpus=2, min_memory_mb=16, max_memory_mb=1024, min_disk_mb=16, max_disk_mb=4096),
    available_memory_kb=1024 * 1024,
    free_kb=4096 * 1024,
    lacking="",
    bridges=("vmbr0",),
    own_bridge="",
)
CONTAINER = Container(
    "129",
    "running",
    SETTINGS,
    SETTINGS,
    Path("/x"),
    IDS,
    Network("routed", "venet0"),
    "subvolume",
    ours=True,
    pid=1,
)


def refusal(offer: Offer = OFFER, place: rules.Place = PLACE) -> OpenVZMigrationNotCapable:
    with pytest.raises(OpenVZMigrationNotCapable) as told:
        rules.check_can_come(offer, place)
    assert told.value.data["host"] == "target"
    return told.value


def offered(**settings: Any) -> Offer:
    return msgspec.structs.replace(OFFER, settings=msgspec.structs.replace(SETTINGS, **settings))


def test_one_that_fits_may_leave_and_come() -> None:
    rules.check_can_leave(CONTAINER, LXC, "")
    rules.check_can_come(OFFER, PLACE)
    bridged = msgspec.structs.replace(OFFER, bridge="vmbr0", mac="02:00:00:00:00:01")
    rules.check_can_come(bridged, PLACE)
    assert rules.bridge_there(bridged, PLACE) == "vmbr0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": ()}, "privileged"),
        ({"ours": False}, "not made by OMS"),
        ({"state": "paused"}, "stands still"),
        ({"rootfs": None}, "cannot be seen"),
        ({"network": Network("other")}, "neither routed nor on a bridge"),
    ],
)
def test_what_cannot_leave_says_why(change: dict[str, Any], words: str) -> None:
    with pytest.raises(OpenVZMigrationNotCapable, match=words) as told:
        rules.check_can_leave(msgspec.structs.replace(CONTAINER, **change), LXC, "")
    assert told.value.data["host"] == "source"


def test_hosts_of_another_kind_give_and_take_nothing() -> None:
    openvz = ContainerCapabilities("openvz", pause=True, disk_limit="openvz")
    with pytest.raises(OpenVZMigrationNotCapable, match="vzmigrate"):
        rules.check_can_leave(CONTAINER, openvz, "")
    with pytest.raises(OpenVZMigrationNotCapable, match="rsync is not installed"):
        rules.check_can_leave(CONTAINER, LXC, "rsync is not installed")
    assert "OpenVZ" in refusal(place=msgspec.structs.replace(PLACE, capabilities=openvz)).message
    assert "rsync" in refusal(place=msgspec.structs.replace(PLACE, lacking="rsync is not installed")).message
    bare = msgspec.structs.replace(LXC, ids=())
    assert "container_ids" in refusal(place=msgspec.structs.replace(PLACE, capabilities=bare)).message


@pytest.mark.parametrize(
    "settings",
    [
        {"hostname": "a\nlxc.hook.pre-start = /bin/sh"},
        {"hostname": "../../etc"},
        {"nameservers": ("8.8.8.8\nnameserver 6.6.6.6",)},
        {"searchdomains": ("x;y",)},
        {"addresses": ("10.0.0.1/24",)},
        {"addresses": ("10.0.0.1\n",)},
        {"addresses": tuple(f"10.0.0.{number}" for number in range(1, 40))},
        {"vcpus": 3},
        {"vcpus": -1},
        {"vcpulimit": 201},
        {"vcpulimit": -5},
        {"memory_kb": 8},
        {"memory_kb": 2**60},
        {"memory_kb": -(2**40)},
        {"disk_kb": 2**60},
        {"disk_kb": -4096},
        {"swap_kb": -4096},
    ],
    ids=str,
)
def test_settings_that_nobody_could_be_given_here_do_not_come_from_elsewhere(settings: dict[str, Any]) -> None:
    refusal(offered(**settings))


@pytest.mark.parametrize("mac", ["02:00:00:00:00", "02:00:00:00:00:01\nx", "$(id)"])
def test_an_interfaces_address_is_one(mac: str) -> None:
    assert refusal(msgspec.structs.replace(OFFER, mac=mac)).data["reason"] == "unusable"


def test_there_must_be_memory_room_and_a_bridge() -> None:
    assert refusal(msgspec.structs.replace(OFFER, memory_kb=2**21)).data["reason"] == "no_memory"
    assert refusal(msgspec.structs.replace(OFFER, used_kb=4096 * 1024)).data["reason"] == "no_space"
    elsewhere = msgspec.structs.replace(OFFER, bridge="br7")
    assert refusal(elsewhere).data["reason"] == "not_there"
    assert rules.bridge_there(elsewhere, msgspec.structs.replace(PLACE, own_bridge="vmbr0")) == "vmbr0"
    unlimited = msgspec.structs.replace(
        PLACE,
        capabilities=msgspec.structs.replace(LXC, disk_limit="", why_no_disk_limit="ext4 has none"),
        limits=msgspec.structs.replace(PLACE.limits, no_disk_limit="ext4 has none"),
    )
    assert "ext4 has none" in refusal(offered(disk_kb=65536), unlimited).message


def test_what_the_other_host_says_keeps_its_kind() -> None:
    assert rules.refused_there(AlreadyThere("taken")).data == {"host": "target", "reason": "already_there"}
    assert rules.refused_there(NotSupported("no LXC")).data["reason"] == "not_supported"
    first = rules.refusal("target", "no room", "no_space")
    assert rules.refused_there(first).message.count("The container cannot") == 1


def test_passes_end_when_another_would_gain_nothing() -> None:
    small, large = rules.SMALL_BYTES, 100 * rules.SMALL_BYTES
    assert rules.is_enough([small])
    assert not rules.is_enough([large])
    assert not rules.is_enough([large, large // 2])
    assert rules.is_enough([large, large // 2, large // 2])
    assert not rules.is_enough([large, large // 2, large // 4])
    assert rules.is_enough([large] * rules.MOST_PASSES)
