"""OpenVZ's containers: the port's conformance suite against a program that behaves as vzctl does, and what vzlist
and the kernel say, written after their formats."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.agent import containers as host_containers
from oms.agent.config import AgentConfig
from oms.agent.guests import MemoryUse
from oms.agent.guests.containers import ContainerChange, Containers, ContainerSettings, NewContainer
from oms.agent.guests.vzctl import VzContainers, listing, programs, words
from oms.agent.guests.vzctl.programs import Programs
from oms.agent.guests.watching import differences
from oms.agent.host.process import Completed
from oms.contract.errors import (
    AlreadyThere,
    ContainerIsOff,
    FuncManError,
    HypervisorUnavailable,
    InUse,
    NoSpace,
    NoSuchContainer,
)
from oms.contract.types import Secret
from tests.agent.guests import conformance
from tests.agent.guests.vzctl.openvz_host import containers_of, furnish


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """What a host with OpenVZ has."""
    furnish(tmp_path)
    return tmp_path


@pytest.fixture
async def containers(place: Path) -> AsyncIterator[VzContainers]:
    made = containers_of(place)
    yield made
    await made.close()


def fill(root: Path) -> None:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")


async def made(
    containers: Containers, ctid: str, settings: ContainerSettings | None = None, job: str = ""
) -> None:
    job = job or conformance.JOB
    fill(await containers.prepare(job, 0))
    await containers.create(job, NewContainer(ctid, settings or ContainerSettings()))
    await containers.discard(job)


async def test_openvz_keeps_the_port(containers: VzContainers) -> None:
    await conformance.container_lives(containers, "129", fill)
    await made(containers, "101")
    await conformance.guest_lives(containers, "101", "102")


async def test_a_password_is_in_no_programs_arguments(containers: VzContainers, place: Path) -> None:
    await made(containers, "101")
    before = (place / "private/101/etc/shadow").read_text()
    await containers.configure("101", ContainerChange(password=Secret("a root's password")))
    after = (place / "private/101/etc/shadow").read_text()
    assert after.startswith("root:$6$")
    assert after != before
    assert words.options(ContainerChange(password=Secret("a root's password"))) == []


async def test_what_a_broken_off_job_has_left_is_taken_away_or_gone_on_with(
    containers: VzContainers, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(await containers.prepare(conformance.JOB, 0))
    conf = place / "etc/conf"
    conf.rename(place / "etc/elsewhere")  # the file cannot be written, as when the agent ends before it
    with pytest.raises(FuncManError):
        await containers.create(conformance.JOB, NewContainer("101", ContainerSettings()))
    assert (place / "private/101/etc/shadow").exists()
    (place / "etc/elsewhere").rename(conf)
    await containers.create(conformance.JOB, NewContainer("101", ContainerSettings()))
    await containers.discard(conformance.JOB)
    assert (await containers.find("101")).ours
    fill(await containers.prepare(conformance.OTHER, 0))
    conf.rename(place / "etc/elsewhere")
    with pytest.raises(FuncManError):
        await containers.create(conformance.OTHER, NewContainer("102", ContainerSettings()))
    (place / "etc/elsewhere").rename(conf)
    await containers.discard(conformance.OTHER)
    assert sorted(path.name for path in (place / "private").glob("[0-9]*")) == ["101"]


async def test_a_configuration_file_that_shells_source_has_plain_values_alone(
    containers: VzContainers, place: Path
) -> None:
    fill(await containers.prepare(conformance.JOB, 0))
    for bad in ('8.8.8.8"; touch /tmp/pwn; X="', "a\nONBOOT=no", "$(id)", "`id`"):
        settings = ContainerSettings(nameservers=(bad,))
        with pytest.raises(FuncManError, match="cannot stand"):
            await containers.create(conformance.JOB, NewContainer("101", settings))
    assert list((place / "etc/conf").glob("101*")) == []
    await containers.create(
        conformance.JOB, NewContainer("101", ContainerSettings(memory_kb=65536), bridge="vmbr0")
    )
    text = (place / "etc/conf/101.conf").read_text()
    assert 'PHYSPAGES="0:65536K"' in text
    assert 'KMEMSIZE="14372700:14790164"' in text  # the host's sample, where OMS says nothing
    assert "EVIL" not in text
    assert stat.S_IMODE((place / "etc/conf/101.conf").stat().st_mode) == 0o644
    network = (await containers.find("101")).network
    assert (network.kind, network.name, network.bridge) == ("bridge", "eth0", "vmbr0")


async def test_openvz_that_hangs_is_given_up_and_one_that_speaks_nonsense_is_away(
    containers: VzContainers, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(containers, "101")
    (place / "broken").touch()
    with pytest.raises(HypervisorUnavailable, match="not understood"):
        await containers.states()
    (place / "broken").unlink()
    monkeypatch.setattr(programs, "LIST_SECONDS", 0.2)
    (place / "hang").touch()
    with pytest.raises(HypervisorUnavailable, match="did not end") as told:
        await containers.states()
    assert told.value.data["outcome"] == "nothing"


async def test_a_host_without_the_programs_is_said_so(place: Path) -> None:
    with pytest.raises(HypervisorUnavailable, match="install it"):
        await VzContainers(Programs(("no-vzctl",), ("no-vzlist",)), place / "etc", place / "proc").states()


@pytest.mark.parametrize(
    ("status", "error"),
    [(5, HypervisorUnavailable), (9, InUse), (14, NoSuchContainer), (31, ContainerIsOff), (46, NoSpace),
     (78, AlreadyThere), (21, FuncManError), (255, FuncManError)],
)  # fmt: skip
def test_exit_statuses_are_told_apart(status: int, error: type[FuncManError]) -> None:
    told = programs.refused("101", Completed(status, b"", b"Invalid value for --cpulimit\n"))
    assert type(told) is error


LISTED = b"""[
  {
    "ctid": 129,
    "veid": 129,
    "vpsid": 129,
    "private": "/vz/private/129",
    "root": "/vz/root/129",
    "mount_opts": null,
    "origin_sample": "vswap-256m",
    "hostname": "debian-5.0-x86_64.template.com",
    "name": null,
    "smart_name": 129,
    "description": null,
    "ostemplate": "debian-5.0-x86_64",
    "ip": ["192.168.1.129", "2001:db8::129"],
    "nameserver": ["192.168.1.11"],
    "searchdomain": ["active.ee"],
    "status": "running",
    "kmemsize": {
      "held": 8396800,
      "maxheld": 10633216,
      "barrier": 134217728,
      "limit": 134217728,
      "failcnt": 0
    },
    "physpages": {
      "held": 15675,
      "maxheld": 20992,
      "barrier": 0,
      "limit": 65536,
      "failcnt": 0
    },
    "swappages": {
      "held": 0,
      "maxheld": 0,
      "barrier": 0,
      "limit": 131072,
      "failcnt": 0
    },
    "diskspace": {
      "usage": 764448,
      "softlimit": 10485760,
      "hardlimit": 11534336
    },
    "laverage": [0.00, 0.01, 0.05],
    "uptime": 22036.231,
    "cpulimit": 50,
    "cpuunits": 1000,
    "cpus": 1,
    "ioprio": 4,
    "onboot": true,
    "bootorder": null,
    "layout": "ploop",
    "features": {},
    "vswap": true,
    "disabled": false
  },
  {
    "ctid": 121,
    "private": "/vz/private/121",
    "root": "/vz/root/121",
    "hostname": null,
    "ip": [],
    "status": "stopped",
    "physpages": {"held": 0, "maxheld": 0, "barrier": 0, "limit": 9223372036854775807, "failcnt": 0},
    "diskspace": null,
    "laverage": null,
    "cpulimit": null,
    "cpus": 0,
    "onboot": false,
    "layout": "ploop"
  },
  {
    "ctid": 1001,
    "private": "/vz/private/1001",
    "root": "/vz/root/1001",
    "hostname": "kept",
    "ip": null,
    "status": "mounted",
    "layout": "simfs"
  }
]
"""
VESTAT = """Version: 2.2
      VEID                 user                 nice               system               uptime                 idle
       129                 2000                    0                  203             22036231       94120388182735
       bad line
"""


def test_the_list_is_read_as_vzlist_writes_it() -> None:
    found = listing.rows(LISTED)
    assert list(found) == ["121", "129", "1001"]
    one = found["129"]
    assert one.settings == ContainerSettings(
        hostname="debian-5.0-x86_64.template.com",
        memory_kb=262144,
        swap_kb=524288,
        vcpus=1,
        vcpulimit=50,
        disk_kb=11534336,
        addresses=("192.168.1.129", "2001:db8::129"),
        nameservers=("192.168.1.11",),
        searchdomains=("active.ee",),
        onboot=True,
    )
    assert (one.state, one.rootfs, one.job) == ("running", Path("/vz/root/129"), "")
    assert listing.memory(one, 1) == MemoryUse(62700, 262144)
    used = listing.disk(one)
    assert used is not None
    assert (used.used_kb, used.size_kb) == (764448, 11534336)
    off = found["121"]
    assert (off.state, off.settings.memory_kb, off.rootfs) == ("shutdown", 0, None)
    assert (found["1001"].state, found["1001"].rootfs) == ("shutdown", Path("/vz/root/1001"))


@pytest.mark.parametrize("text", [b"", b"null", b"[1]", b'[{"ctid": []}]', b"[" * 5000, b'[{"ctid": 1}]'])
def test_what_is_no_list_is_said_so(text: bytes) -> None:
    with pytest.raises(listing.Unreadable):
        listing.rows(text)


def test_the_kernels_table_of_time_is_read() -> None:
    assert listing.cpu_times(VESTAT) == {"129": 22_030_000_000}
    assert listing.cpu_times("") == {}


def test_the_interface_of_a_container_is_told_from_its_file() -> None:
    assert listing.network_of('NETIF="ifname=eth0,bridge=vmbr0,mac=00:18:51:00:00:01,host_ifname=veth101.0"') == (
        "vmbr0", "00:18:51:00:00:01",
    )  # fmt: skip
    assert listing.network_of('IP_ADDRESS="10.0.0.1"\n') == ("", "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (ContainerChange(memory_kb=65536, swap_kb=0), "--ram 65536K --swap 0K"),
        (ContainerChange(memory_kb=0, disk_kb=0), "--ram unlimited --diskspace unlimited:unlimited"),
        (ContainerChange(addresses=()), "--ipdel all"),
        (ContainerChange(addresses=("10.0.0.1", "10.0.0.2")), "--ipdel all --ipadd 10.0.0.1 --ipadd 10.0.0.2"),
        (ContainerChange(vcpus=2, vcpulimit=0, onboot=True), "--cpus 2 --cpulimit 0 --onboot yes"),
        (ContainerChange(), ""),
    ],
)
def test_a_change_is_said_in_vzctls_options(change: ContainerChange, said: str) -> None:
    assert words.options(change) == said.split()


def test_what_happened_between_two_looks() -> None:
    before, after = {"1": True, "2": False, "3": True}, {"2": True, "3": True, "4": False}
    assert [(change.uuid, change.what) for change in differences(before, after)] == [
        ("1", "removed"), ("2", "started"), ("4", "defined"),
    ]  # fmt: skip


async def test_a_host_whose_kernel_is_openvzs_is_driven_by_its_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_containers, "OPENVZ", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await host_containers.found(AgentConfig()) is None
    for name in ("vzctl", "vzlist"):
        (tmp_path / name).touch(mode=0o755)
    assert isinstance(await host_containers.found(AgentConfig()), VzContainers)
    assert await host_containers.found(AgentConfig(containers="never")) is None
