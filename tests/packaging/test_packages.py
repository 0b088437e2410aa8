"""The wheel and the Debian packages: what was built can be installed elsewhere, and run by itself."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms import __version__
from tests.house.source import ROOT
from tests.packaging.installation import why_not

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
