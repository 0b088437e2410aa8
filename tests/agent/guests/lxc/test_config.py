"""What LXC's configuration files say, and how they are changed."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.guests.containers import ContainerSettings, IdRange, Network, NewContainer
from oms.agent.guests.lxc import config, making, network

BY_HAND = """\
# a comment of mine
lxc.include = /usr/share/lxc/config/common.conf
lxc.rootfs.path = dir:/srv/web/rootfs
lxc.uts.name = web
lxc.cgroup.memory.limit_in_bytes = 512M
lxc.cgroup.cpuset.cpus = 0-1,3
lxc.cgroup.cpu.cfs_period_us = 50000
lxc.cgroup.cpu.cfs_quota_us = 25000
lxc.idmap = b 0 200000 1000
lxc.net.0.type = veth
lxc.net.0.link = br0
lxc.net.0.ipv4.address = 10.0.0.5/24 10.0.0.255
lxc.start.auto = 1
lxc.mount.entry = /srv/data data none bind 0 0
"""


def test_a_file_made_by_hand_is_understood() -> None:
    read = config.read(BY_HAND, "web")
    assert read.settings == ContainerSettings(
        hostname="web", memory_kb=512 * 1024, vcpus=3, vcpulimit=50, addresses=("10.0.0.5/24",), onboot=True
    )
    assert read.rootfs == Path("/srv/web/rootfs")
    assert read.ids == (IdRange("user", 0, 200000, 1000), IdRange("group", 0, 200000, 1000))
    assert read.network == Network("bridge", "eth0", "br0")
    assert not read.ours


def test_an_empty_file_limits_nothing() -> None:
    read = config.read("", "104")
    assert read.settings == ContainerSettings(hostname="104")
    assert (read.rootfs, read.ids, read.network.kind) == (None, (), "none")


@pytest.mark.parametrize(
    ("size", "kb"),
    [("1024", 1), ("64M", 65536), ("1g", 1048576), ("max", 0), ("-1", 0), ("9223372036854771712", 0)],
)
def test_sizes_are_read_as_lxc_reads_them(size: str, kb: int) -> None:
    assert config.read(f"lxc.cgroup2.memory.max = {size}\n", "1").settings.memory_kb == kb


@pytest.mark.parametrize("path", ["overlayfs:/a:/b", "loop:/srv/x.img", "lvm:vg/x", "relative", ""])
def test_a_root_file_system_that_is_no_directory_cannot_be_seen(path: str) -> None:
    assert config.read(f"lxc.rootfs.path = {path}\n", "1").rootfs is None


def test_only_the_lines_that_are_changed_are_other_ones() -> None:
    after = config.edited(
        BY_HAND, {"lxc.uts.name": ["web2"], "lxc.start.auto": [], "lxc.cgroup2.memory.max": ["1"]}
    )
    assert after.splitlines()[3] == "lxc.uts.name = web2"
    assert after.splitlines()[-1] == "lxc.cgroup2.memory.max = 1"
    assert set(BY_HAND.splitlines()) - set(after.splitlines()) == {"lxc.uts.name = web", "lxc.start.auto = 1"}


def test_both_versions_of_control_groups_are_told() -> None:
    text = config.edited("", {**config.memory_lines(1024, 512, swap=True), **config.quota_lines(50)})
    assert text.splitlines() == [
        "lxc.cgroup.memory.limit_in_bytes = 1048576",
        "lxc.cgroup.memory.memsw.limit_in_bytes = 1572864",
        "lxc.cgroup2.memory.max = 1048576",
        "lxc.cgroup2.memory.swap.max = 524288",
        "lxc.cgroup.cpu.cfs_period_us = 100000",
        "lxc.cgroup.cpu.cfs_quota_us = 50000",
        "lxc.cgroup2.cpu.max = 50000 100000",
    ]


def test_containers_of_one_cpu_are_spread_over_all_of_them() -> None:
    chosen = {config.cpus_for(str(ctid), 1, (0, 1, 2, 3)) for ctid in range(101, 105)}
    assert chosen == {(0,), (1,), (2,), (3,)}
    assert config.cpus_for("7", 9, (0, 2)) == (0, 2)


@given(
    st.builds(
        ContainerSettings,
        hostname=st.from_regex(r"[a-z]{1,20}", fullmatch=True),
        memory_kb=st.integers(1, 2**30),
        swap_kb=st.integers(0, 2**20),
        vcpus=st.integers(0, 8),
        vcpulimit=st.integers(0, 800),
        disk_kb=st.integers(0, 2**30),
        addresses=st.lists(st.ip_addresses(v=4).map(str), max_size=3, unique=True).map(tuple),
        onboot=st.booleans(),
    )
)
def test_what_is_written_for_a_new_container_is_read_back(settings: ContainerSettings) -> None:
    new = NewContainer("129", settings)
    text = making.text(new, "job", Path("/x"), (IdRange("user", 0, 1, 2),), tuple(range(8)), swap=True)
    read = config.read(text, "129")
    assert read.settings == settings
    assert (read.ours, read.job, read.rootfs, read.ids) == (True, "job", Path("/x"), (IdRange("user", 0, 1, 2),))
    assert read.network == Network("routed", "venet0", "", network.mac_for("129"))
    assert config.edited(text, {}) == text


def test_a_bridged_container_has_its_gateway_from_the_host() -> None:
    routes = "Iface\tDestination\tGateway\neth0\t00000000\t010200C0\t0003\n"
    assert network.gateway_for(["192.0.2.7/24"], routes) == "192.0.2.1"
    assert network.gateway_for(["10.0.0.7/24"], routes) == ""
    assert network.gateway_for(["192.0.2.7/24"], "Iface\n") == ""


def test_an_interface_on_the_host_has_a_name_that_the_kernel_takes() -> None:
    assert network.pair_for("129") == "venet129"
    assert len(network.pair_for("2147483647")) <= 15


def test_addresses_are_read_from_the_kernels_own_tables() -> None:
    trie = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.99.0.7
        /32 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 169.254.1.1
        /32 link UNICAST
Local:
     |-- 10.99.0.7
        /32 host LOCAL
"""
    assert network.addresses_in(trie) == ("10.99.0.7",)
    listed = "fd990000000000000000000000000129 02 80 00 80 venet0\n"
    listed += "fe8000000000000000000000000000ff 02 40 20 80 venet0\n"
    assert network.addresses6_in(listed) == ("fd99::129",)


def test_the_console_of_a_container_is_a_login_that_knows_nothing_of_the_agent() -> None:
    from oms.agent.guests.lxc import programs

    words = programs.console(Path("/var/lib/lxc"), "129")
    assert words[-2:] == ("--", "/bin/login")
    assert "--clear-env" in words


def test_a_failed_start_is_told_by_the_first_error() -> None:
    from oms.agent.guests.lxc import programs

    log = (
        "lxc-start 129 2026 WARN     cgfsng - ../src/a.c:f:1 - Invalid argument - Ignored\n"
        "lxc-start 129 2026 ERROR    network - ../src/network.c:g:799 - Invalid argument - Requires sysctl x=1\n"
        "lxc-start 129 2026 ERROR    start - ../src/lxc/start.c:h:1840 - Failed to create the network\n"
    )
    assert programs.first_error(log) == "Invalid argument - Requires sysctl x=1"
    assert programs.first_error("") == ""


def test_a_container_is_a_unit_of_its_own_where_systemd_runs() -> None:
    from oms.agent.guests.lxc import programs

    words = programs.unit(Path("/var/lib/lxc"), "129", programs.unit_name("129"))
    assert {"--property=Delegate=yes", "--property=KillMode=mixed", "--property=Type=simple"} <= set(words)
    assert '--property=ExecStop=-/usr/bin/lxc-stop -P "/var/lib/lxc" -n 129 -t 90' in words
    assert words[-1] == "--"
    assert programs.unit_name("129") != programs.unit_name("129")
    assert re.fullmatch(r"oms-container-a_b-[0-9a-f]{8}\.service", programs.unit_name("a+b"))
