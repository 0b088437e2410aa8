"""What a container may be given, and the words to what it may not."""

import msgspec
import pytest

from oms.agent.guests import Capacity, DiskUse, MemoryUse, Use
from oms.agent.guests.containers import Container, ContainerCapabilities, ContainerSettings, Network
from oms.agent.ovz import limits
from oms.agent.ovz.limits import Limits

HOST = Limits(max_vcpus=4, min_memory_mb=16, max_memory_mb=4096, min_disk_mb=16, max_disk_mb=20480)


def container(settings: ContainerSettings, **more: str) -> Container:
    return Container(
        ctid="129",
        state="running",
        settings=settings,
        live=settings,
        rootfs=None,
        ids=(),
        network=Network("routed", "venet0"),
        disk_limit=more.get("disk_limit", "subvolume"),  # type: ignore[arg-type] # a word of the test's own
    )


LEGAL: dict[str, list[str | int]] = {
    "memory": ["16", 4096, "0"],
    "swap": ["0", 65536],
    "vcpu": ["1", 4],
    "vcpulimit": ["0", "400", 50],
    "disk": ["16", 20480, 0],
    "ip_address": ["", "192.168.1.129", "10.0.0.1 fd00::7"],
    "nameserver": ["", "192.168.1.11", "10.0.0.1 10.0.0.2"],
    "searchdomain": ["", "active.ee", "a.example b.example"],
    "onboot": ["yes", "no"],
    "hostname": ["a", "vm-1.example.org"],
    "password": ["x", "päß wörd"],
    "passwd": ["test"],
}
ILLEGAL: dict[str, list[str | int]] = {
    "memory": ["15", 4097, "-1", "", "1e3", "１２８", "128 ", "128MB"],
    "swap": ["-1", "x"],
    "vcpu": ["0", 5, "1.5", "²"],
    "vcpulimit": ["401", "-1", "50%"],
    "disk": ["15", 20481, "all"],
    "ip_address": [
        "192.168.1", "1.2.3.4/24", "fe80::1%eth0", "0.0.0.0", "127.0.0.1", "224.0.0.1", "::", "1.2.3.4,5.6.7.8",
        "1.2.3.4\nlxc.hook.start = /bin/sh", " 1.2.3.4", 7, "1.2.3.4 " * 20,
    ],
    "nameserver": ["8.8.8.8\"; touch /tmp/pwn; X=\"", "example.org", "::1"],
    "searchdomain": ["a\nONBOOT=no", "-a", "a..b", "a b\tc"],
    "onboot": ["", "YES", 1, "true"],
    "hostname": ["", "a" * 65, "a_b", "a\n", "-a"],
    "password": ["", "a\nroot2:", "a\0", "x" * 1025],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in LEGAL.items() for value in values])
def test_what_is_legal_passes(name: str, value: str | int) -> None:
    assert limits.refused({name: value}, HOST) == {}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in ILLEGAL.items() for value in values]
)
def test_what_is_not_is_refused_by_its_name(name: str, value: str | int) -> None:
    (text,) = limits.refused({name: value}, HOST).values()
    assert len(text) < 200
    assert "\n" not in text


def test_every_refused_setting_is_named_at_once_and_no_password_is_repeated() -> None:
    given = {"memory": "1", "disk": "1", "password": "se\tcret", "colour": "blue"}
    refused = limits.refused(given, HOST)
    assert list(refused) == list(given)
    assert refused["memory"] == "Memory must be between 16 and 4096 MB, or 0 for no limit, got 1"
    assert "se" not in refused["password"].replace("be", "")
    assert refused["colour"].startswith("There is no such setting; there are memory, swap, vcpu,")


def test_an_address_on_a_bridge_may_have_a_prefix() -> None:
    bridged = Limits(4, 16, 4096, 16, 20480, routed=False)
    assert limits.refused({"ip_address": "10.0.0.5/24"}, bridged) == {}
    assert limits.refused({"ip_address": "10.0.0.5/33"}, bridged)


@pytest.mark.parametrize("given", ["10.0.0.5 10.0.0.6 10.0.0.5/24", "10.0.0.5 10.0.0.5"])
def test_an_address_is_given_once_however_it_is_written(given: str) -> None:
    """LXC starts no container that has one twice."""
    bridged = Limits(4, 16, 4096, 16, 20480, routed=False)
    assert limits.refused({"ip_address": given}, bridged) == {
        "ip_address": "IP address 10.0.0.5 is given 2 times; give it once"
    }
    assert limits.refused({"ip_address": "fd00::1 fd00:0:0::1"}, HOST) == {
        "ip_address": "IP address fd00::1 is given 2 times; give it once"
    }


def test_a_disk_that_nothing_holds_is_refused_with_the_reason() -> None:
    capabilities = ContainerCapabilities("lxc", pause=True, disk_limit="", why_no_disk_limit="ext4 keeps none")
    host = limits.of_host(Capacity(4, 4, 4096 * 1024), capabilities, 1024)
    assert (host.min_disk_mb, host.max_disk_mb) == (0, 0)
    assert "ext4 keeps none" in limits.refused({"disk": 1024}, host)["disk"]
    assert limits.refused({"disk": "0"}, host) == {}


def test_a_kernel_that_counts_no_swap_is_told_of() -> None:
    capabilities = ContainerCapabilities("lxc", pause=True, disk_limit="subvolume", swap=False)
    host = limits.of_host(Capacity(4, 4, 4096 * 1024), capabilities, 1024)
    assert "does not count it" in limits.refused({"swap": 0}, host)["swap"]


def test_what_a_container_has_is_legal_and_what_it_holds_is_its_own() -> None:
    has = ContainerSettings(memory_kb=8192 * 1024, vcpus=8, disk_kb=40960 * 1024)
    use = Use(memory=MemoryUse(1024 * 1024, 8192 * 1024), disk=DiskUse(5000 * 1024, 40960 * 1024))
    legal = limits.of_container(container(has), HOST, use, "")
    assert (legal.max_memory_mb, legal.max_vcpus, legal.min_disk_mb, legal.max_disk_mb) == (8192, 8, 5000, 40960)
    small = ContainerSettings(memory_kb=1024 * 1024)
    assert limits.of_container(container(small), HOST, use, "").max_memory_mb == 4096 + 1024


def test_a_disk_that_is_an_image_keeps_a_size_and_becomes_smaller_while_it_is_off() -> None:
    has = ContainerSettings(disk_kb=64 * 1024)
    off = msgspec.structs.replace(container(has, disk_limit="image"), live=None, least_disk_kb=30 * 1024 - 1)
    legal = limits.of_container(off, HOST, None, "")
    assert (legal.min_disk_mb, legal.max_disk_mb) == (30, 20480)
    assert limits.refused({"disk": "30"}, legal) == {}
    assert limits.refused({"disk": 29}, legal)["disk"] == "Disk size must be between 30 and 20480 MB, got 29"
    assert "between 30 and 20480 MB, got 0" in limits.refused({"disk": 0}, legal)["disk"]
    runs = msgspec.structs.replace(container(has, disk_limit="image"), least_disk_kb=64 * 1024)
    words = limits.refused({"disk": 63}, limits.of_container(runs, HOST, None, ""))["disk"]
    assert words == "Disk size must be between 64 and 20480 MB (smaller only while it is off), got 63"
    capabilities = ContainerCapabilities("lxc", pause=True, disk_limit="image")
    anew = limits.of_host(Capacity(4, 4, 4096 * 1024), capabilities, 1024 * 1024)
    assert limits.refused({"disk": 0}, anew) == limits.refused({"disk": 1024}, anew) == {}
    assert anew.usual_disk_mb == 0


def test_a_container_made_elsewhere_may_have_no_limited_disk_where_ours_do() -> None:
    legal = limits.of_container(container(ContainerSettings(), disk_limit=""), HOST, None, "")
    assert "nothing holds it" in limits.refused({"disk": 100}, legal)["disk"]


def test_settings_become_a_change_of_what_is_named_alone() -> None:
    change = limits.wanted({"memory": "256", "nameserver": "", "ip_address": "10.0.0.1 fd00::7", "onboot": "yes"})
    assert (change.memory_kb, change.nameservers, change.addresses) == (256 * 1024, (), ("10.0.0.1", "fd00::7"))
    assert (change.onboot, change.hostname, change.password, change.vcpus) == (True, None, None, None)
    secret = limits.wanted({"passwd": "test"}).password
    assert secret is not None
    assert secret.reveal() == "test"
