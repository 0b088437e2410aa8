"""The wheel and the Debian packages: what was built can be installed elsewhere, and run by itself."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms import __version__
from tests.hosts import rootfs
from tests.house.source import ROOT
from tests.packaging import booted
from tests.packaging.booted import Booted
from tests.packaging.installation import why_not
from tests.waiting import until

SERVERS_OWN = ("sqlalchemy", "starlette", "uvicorn", "alembic", "argon2")


def run(*words: object, **how: object) -> str:
    done = subprocess.run(list(map(str, words)), check=False, capture_output=True, text=True, **how)  # type: ignore[call-overload]
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    said: str = done.stdout
    return said


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("dpkg-deb"):
        pytest.skip("needs dpkg-deb: this is not Debian")
    target = tmp_path_factory.mktemp("dist")
    run(sys.executable, ROOT / "scripts" / "packages", "--quick", target)
    return target


def test_the_wheel_is_the_same_when_it_is_built_again(built: Path, tmp_path: Path) -> None:
    epoch = run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()
    again = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path]
    run(*again, cwd=ROOT, env=os.environ | {"SOURCE_DATE_EPOCH": epoch})
    (one,), (other,) = built.glob("*.whl"), tmp_path.glob("*.whl")
    assert one.read_bytes() == other.read_bytes()


@pytest.fixture(scope="module")
def corner(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The beginning of a command that runs where what is installed reaches nobody else."""
    if reason := why_not():
        pytest.skip(reason)
    scratch = tmp_path_factory.mktemp("corner")
    covered = "mount -t tmpfs tmpfs $0 && for place in etc usr var; do mkdir -p $0/$place.u $0/$place.w && "
    covered += "mount -t overlay o -o lowerdir=/$place,upperdir=$0/$place.u,workdir=$0/$place.w /$place; done; "
    covered += "echo ready; exec cat"
    command = ["unshare", "--mount", "--propagation=private", "sh", "-ec", covered, str(scratch)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield [
            "nsenter",
            f"--target={process.pid}",
            "--mount",
            "env",
            "--chdir=/",
            "DEBIAN_FRONTEND=noninteractive",
        ]


def test_the_packages_install_run_and_go_and_leave_what_oms_kept(built: Path, corner: list[str]) -> None:
    """On this very machine, whose files are covered meanwhile. First what a host gets: nothing of the server."""
    packages = {path.name.partition("_")[0]: path for path in built.glob("*.deb")}
    assert sorted(packages) == ["opennode-oms", "opennode-oms-agent", "opennode-oms-server"]
    run(*corner, "dpkg", "--install", packages["opennode-oms"], packages["opennode-oms-agent"])
    assert run(*corner, "oms", "--version") == f"oms {__version__}\n"
    assert "--ca-sha256" in run(*corner, "/usr/bin/oms", "agent", "--help")
    python = (*corner, "/usr/lib/oms/bin/python", "-c")
    run(*python, "import oms.agent.main, oms.agent.guests.libvirt")
    absent = f"from importlib.util import find_spec; print([n for n in {SERVERS_OWN} if find_spec(n)])"
    assert run(*python, absent) == "[]\n"
    run(*corner, "dpkg", "--install", packages["opennode-oms-server"])
    assert "--database" in run(*corner, "/usr/bin/oms", "server", "--help")
    assert run(*corner, "stat", "-c", "%U:%G %a", "/etc/oms/oms.toml") == "root:oms 640\n"
    assert run(*corner, "readlink", "-f", "/usr/bin/oms") == "/usr/lib/oms/bin/oms\n"
    completed = "COMP_WORDS='oms kv' COMP_CWORD=1 _OMS_COMPLETE=complete_bash oms"
    assert run(*corner, "sh", "-c", completed) == "kvm\n"
    assert "_OMS_COMPLETE" in run(*corner, "cat", "/usr/share/bash-completion/completions/oms")
    units = ["/usr/lib/systemd/system/oms-" + name + ".service" for name in ("server", "signer", "agent")]
    run(*corner, "systemd-analyze", "verify", "--man=no", *units)
    run(*corner, "sh", "-c", "mkdir -p /var/lib/oms && echo kept >/var/lib/oms/oms.db")
    run(*corner, "sh", "-c", "echo '# mine' >>/etc/oms/oms.toml")
    run(*corner, "dpkg", "--install", packages["opennode-oms"])  # as an upgrade does
    assert run(*corner, "tail", "-n", "1", "/etc/oms/oms.toml") == "# mine\n"
    assert run(*corner, "oms", "--version") == f"oms {__version__}\n"
    run(*corner, "dpkg", "--purge", *sorted(packages, reverse=True))
    assert run(*corner, "cat", "/var/lib/oms/oms.db") == "kept\n"
    assert run(*corner, "sh", "-c", "ls -d /usr/lib/oms /usr/bin/oms /etc/oms/oms.toml 2>/dev/null || true") == ""


# --- under systemd


SERVICES = ("oms-signer", "oms-server", "oms-agent")
CONFIG = "/etc/oms/oms.toml"
ALONE = 'libvirtd = "never"\nlibvirt_uri = "qemu:///system?socket=/none"\nauthorized_keys = ""\n'
"""Settings of an agent that has containers alone."""
CONTAINER = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.uts.name = seven
lxc.rootfs.path = dir:/var/lib/lxc/7/rootfs
lxc.apparmor.profile = unconfined
lxc.net.0.type = empty
"""


@pytest.fixture
def machine(built: Path, tmp_path: Path) -> Iterator[Booted]:
    """One that has just been booted, with the packages below /mnt."""
    if reason := booted.why_not():
        pytest.skip(reason)
    with Booted(tmp_path / "machine", dist=built) as found:
        container = found.file("/var/lib/lxc/7")
        container.mkdir(parents=True)
        rootfs.tiny(container / "rootfs", ())
        (container / "config").write_text(CONTAINER)
        yield found


def install(machine: Booted) -> None:
    machine.run("sh", "-c", "dpkg --install /mnt/dist/*.deb")


def main_process(machine: Booted, unit: str) -> str:
    return machine.run("systemctl", "show", "--property=MainPID", "--value", unit).strip()


def bus(machine: Booted) -> str:
    return machine.run("cat", "/var/lib/oms/server/bus/nats.pid").strip()


def said_last(machine: Booted, unit: str, pattern: str) -> str:
    """What a service's log has last, as docs/operating.md looks for it, at once."""
    found: str = re.findall(pattern, machine.run("journalctl", "-u", unit, "-o", "cat"))[-1]
    return found


def set_up(machine: Booted) -> None:
    """As docs/operating.md has it: a server that is a host of itself, and a session of its administrator."""
    admin = ("runuser", "-u", "oms", "--", "oms", "admin")
    machine.run("systemctl", "enable", "--now", "oms-signer", "oms-server")
    password = machine.run(*admin, "add-user", "admin", "--role", "admin", "--config", CONFIG).split()[-1]
    sha256 = said_last(machine, "oms-server", '"ca_sha256": "([0-9a-f]*)"')
    file = machine.file(CONFIG)
    file.write_text(f'{file.read_text()}server = "https://localhost:8000"\nca_sha256 = "{sha256}"\n{ALONE}')
    machine.run("systemctl", "enable", "--now", "oms-agent")
    key = said_last(machine, "oms-agent", "key is ([0-9a-f]*)")
    machine.run(*admin, "sign", "booted", "--key-sha256", key, "--config", CONFIG)
    words = f"{password}\nseven purple whales at noon\n"
    login = ("oms", "login", "https://localhost:8000", "--ca-sha256", sha256, "--user", "admin")
    machine.run(*login, stdin=words)
    until(lambda: is_connected(machine), machine.state)


def asked(machine: Booted, *words: str) -> object:
    answer: object = json.loads(machine.run("oms", *words, "--output", "json"))
    return answer


def is_connected(machine: Booted) -> bool:
    """Whether OMS answers, and its host is there."""
    done = machine.tried("oms", "hosts", "list-signed", "--output", "json")
    return done.returncode == 0 and [host["status"] for host in json.loads(done.stdout)] == [1]


def first_of_container(machine: Booted) -> str:
    """The first process of the container that runs, which is another after each start of it."""
    return machine.run("lxc-info", "--name", "7", "--pid", "--no-humanize").strip()


def test_under_systemd_the_services_start_die_and_are_restarted_and_containers_run_on(machine: Booted) -> None:
    install(machine)
    assert [machine.tried("systemctl", "is-enabled", unit).stdout for unit in SERVICES] == ["disabled\n"] * 3
    set_up(machine)
    asked(machine, "ovz", "start-vm", "booted", "7")
    container, spared = first_of_container(machine), bus(machine)
    machine.run("systemctl", "restart", "oms-server")
    until(lambda: is_connected(machine), machine.state)
    assert bus(machine) == spared
    for unit in SERVICES:
        killed = main_process(machine, unit)
        machine.run("kill", "-KILL", killed)
        until(lambda unit=unit, killed=killed: main_process(machine, unit) not in ("0", killed))  # type: ignore[misc]
    until(lambda: is_connected(machine), machine.state)
    before, spared = [main_process(machine, unit) for unit in SERVICES], bus(machine)
    install(machine)  # as an upgrade does
    assert {*before} & {main_process(machine, unit) for unit in SERVICES} == set()
    until(lambda: is_connected(machine), machine.state)
    assert (first_of_container(machine), bus(machine)) == (container, spared)


def test_under_systemd_all_comes_back_after_a_boot_and_nothing_is_left_of_what_is_removed(machine: Booted) -> None:
    install(machine)
    set_up(machine)
    machine.reboot()
    until(lambda: is_connected(machine), machine.state)
    asked(machine, "ovz", "start-vm", "booted", "7")
    container = first_of_container(machine)
    machine.run("dpkg", "--remove", "opennode-oms-agent", "opennode-oms-server")
    assert machine.tried("pgrep", "--list-full", "--uid", "oms,oms-ca").stdout == ""
    assert machine.tried("pgrep", "--full", "oms agent").stdout == ""
    assert first_of_container(machine) == container
    assert machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend", "oms-*") == ""
    machine.run("dpkg", "--purge", "opennode-oms-agent", "opennode-oms-server", "opennode-oms")
    machine.run("test", "-s", "/var/lib/oms/server/oms.db")
