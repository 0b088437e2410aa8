"""Control groups of both versions, as directories of files."""

from pathlib import Path

from oms.agent.guests.lxc import cgroups
from oms.agent.guests.lxc.monitor import socket_name
from oms.agent.guests.watching import differences

V1 = {
    "memory/memory.limit_in_bytes": "134217728\n",
    "memory/memory.usage_in_bytes": "50000000\n",
    "memory/memory.stat": "cache 1\ntotal_inactive_file 10000000\n",
    "cpuset/cpuset.cpus": "0-1\n",
    "cpu/cpu.cfs_quota_us": "50000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpuacct/cpuacct.usage": "123456789\n",
    "freezer/freezer.state": "FROZEN\n",
}
V2 = {
    "memory.max": "134217728\n",
    "memory.current": "50000000\n",
    "memory.stat": "anon 1\ninactive_file 10000000\n",
    "memory.swap.max": "max\n",
    "cpuset.cpus.effective": "0-1\n",
    "cpu.max": "50000 100000\n",
    "cpu.stat": "usage_usec 123456\n",
    "cgroup.events": "populated 1\nfrozen 1\n",
}


def groups(home: Path, files: dict[str, str]) -> dict[str, Path]:
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    controllers = ("memory", "cpuset", "cpu", "cpuacct", "freezer")
    return (
        {name: home / name for name in controllers}
        if "cpu" in {part.name for part in home.iterdir()}
        else {"": home}
    )


def test_both_versions_say_the_same(tmp_path: Path) -> None:
    for number, files in enumerate((V1, V2)):
        of = groups(tmp_path / str(number), files)
        assert cgroups.memory_limit_kb(of) == 131072
        assert cgroups.memory_used_kb(of) == 40000000 // 1024
        assert cgroups.cpus(of) == 2
        assert cgroups.vcpulimit(of) == 50
        assert cgroups.cpu_used_ns(of) // 1_000_000 == 123
        assert cgroups.is_frozen(of)


def test_no_limit_is_zero_in_both(tmp_path: Path) -> None:
    none = {"memory/memory.limit_in_bytes": "9223372036854771712", "cpu/cpu.cfs_quota_us": "-1"}
    for of in (
        groups(tmp_path / "1", V1 | none),
        groups(tmp_path / "2", V2 | {"memory.max": "max", "cpu.max": "max 100000"}),
    ):
        assert cgroups.memory_limit_kb(of) == 0
        assert cgroups.vcpulimit(of) == 0


def test_a_limit_that_was_set_is_read_back(tmp_path: Path) -> None:
    of = groups(tmp_path, dict.fromkeys(V2, ""))
    assert cgroups.set_vcpulimit(of, 25) == ""
    assert (tmp_path / "cpu.max").read_text() == "25000 100000"
    assert cgroups.set_memory(of, 65536, 1024) == ""
    assert (tmp_path / "memory.max").read_text() == "67108864"
    assert (tmp_path / "memory.swap.max").read_text() == "1048576"


def test_a_kernel_that_keeps_another_limit_is_found_out(tmp_path: Path) -> None:
    of = groups(tmp_path, V2)
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory.max").symlink_to("/dev/null")
    assert "holds it to 0 MB" in cgroups.set_memory(of, 65536, 0)


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    for of in ({}, {"": tmp_path / "gone"}, {"memory": tmp_path / "gone"}):
        assert cgroups.memory_used_kb(of) is None
        assert (cgroups.cpus(of), cgroups.cpu_used_ns(of), cgroups.is_frozen(of)) == (0, 0, False)
    assert cgroups.set_vcpulimit({"cpu": tmp_path / "gone"}, 50).startswith("cpu.cfs_quota_us: ")


def test_a_long_path_has_a_socket_whose_name_the_kernel_takes() -> None:
    assert socket_name(Path("/var/lib/lxc"), "129") == "/var/lib/lxc/129/command"
    long = socket_name(Path("/var/lib/" + "x" * 100), "129")
    assert long.startswith("lxc/")
    assert len(long) == len("lxc/0123456789abcdef/command")


def test_two_looks_tell_what_happened_between() -> None:
    told = differences({"1": True, "2": False, "3": True}, {"2": True, "3": False, "4": True})
    assert [(change.uuid, change.what) for change in told] == [
        ("1", "removed"), ("2", "started"), ("3", "stopped"), ("4", "defined"), ("4", "started"),
    ]  # fmt: skip
