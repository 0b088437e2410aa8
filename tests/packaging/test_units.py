"""The units: what systemd says of them, and that OMS works under the accounts and in the directories they name.

Their sandbox is systemd's to build; here it is looked at. `test_packages` has them under a systemd of their own.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.served import alive
from tests.docs import blocks
from tests.free_port import free_port
from tests.hosts.stack import Caller
from tests.packaging.installation import SYSTEMD, UNITS, Installation, service, why_not
from tests.waiting import until

OPERATING = blocks.ROOT / "docs" / "operating.md"
OWN = "seven purple whales at noon"
each = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
EXPOSED_AT_MOST = {"oms-bus": 15, "oms-server": 15, "oms-signer": 10, "oms-agent": 85}
"""Of 100, as `systemd-analyze security` reckons. The agent is root and does to its host what OMS is for."""


def analyzed(*words: object) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze (scripts/bootstrap test installs it)")
    return subprocess.run(
        ["systemd-analyze", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def placed(tmp_path: Path) -> Path:
    """The units as they would be with `oms` where it is on this machine."""
    for unit in UNITS:
        text = unit.read_text()
        for program in ("oms", "nats-server"):
            text = text.replace(f"/usr/bin/{program}", str(Path(sys.executable).with_name(program)))
        (tmp_path / unit.name).write_text(text)
    return tmp_path


@each
def test_systemd_understands_the_unit(unit: Path, placed: Path) -> None:
    done = analyzed("verify", "--man=no", "--recursive-errors=no", placed / unit.name)
    assert (done.returncode, done.stderr) == (0, "")


@each
def test_the_unit_is_as_closed_as_its_work_allows(unit: Path) -> None:
    done = analyzed("security", "--offline=true", f"--threshold={EXPOSED_AT_MOST[unit.stem]}", unit)
    assert done.returncode == 0, done.stdout[-200:]


def test_the_agents_unit_lets_it_change_the_hosts_network() -> None:
    """That takes CAP_NET_ADMIN, netlink, and the host's own files in /etc."""
    unit = service(SYSTEMD / "oms-agent.service")
    bounds = unit.get("CapabilityBoundingSet", "CAP_NET_ADMIN")
    assert ("CAP_NET_ADMIN" in bounds) != bounds.startswith("~")
    assert "AF_NETLINK" in unit.get("RestrictAddressFamilies", "AF_NETLINK")
    for closed in ("PrivateNetwork", "ProtectSystem", "ReadOnlyPaths", "NetworkNamespacePath"):
        assert closed not in unit


def test_a_unit_that_is_wrong_or_open_is_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.service"
    wrong.write_text("[Service]\nExecStart=/bin/true\nProtectSytem=strict\n")
    assert "ProtectSytem" in analyzed("verify", "--man=no", wrong).stderr
    assert analyzed("security", "--offline=true", "--threshold=50", wrong).returncode != 0


# --- an installation


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """With addresses of its own, and an agent that leaves this machine's libvirt and keys alone."""
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="oms-units-") as name:
        scratch = Path(name) / "scratch"
        scratch.mkdir()
        with Installation(scratch) as made:
            yield made


@pytest.fixture(scope="module")
def port(installation: Installation) -> Iterator[int]:
    """The server's, which runs with its signer; what it spares at its end is ended here."""
    number = free_port()
    settings = installation.file("/etc/oms/oms.toml")
    listen = f'listen = "127.0.0.1:{number}"\nbus_listen = "127.0.0.1:{free_port()}"\nlogin_delay = 0.1\n'
    listen += f'consoles_listen = "127.0.0.1:{free_port()}"\n'
    settings.write_text(settings.read_text().replace("[server]\n", f"[server]\n{listen}"))
    with installation.served("signer"), installation.served("server"):
        until(lambda: answers(number), lambda: installation.log("server") + installation.log("signer"))
        yield number
    os.kill(bus(installation), signal.SIGTERM)


def bus(installation: Installation) -> int:
    return int(installation.file("/var/lib/oms/server/bus/nats.pid").read_text())


def answers(port: int) -> bool:
    with contextlib.closing(Caller(port, 5)) as caller:
        try:
            caller.raw("authservices", "checksessid", "")
        except OSError:
            return False
        return True


def administered(installation: Installation, *words: str, stdin: str = "") -> str:
    """`oms admin`, as docs/operating.md has it."""
    return installation.run(
        "oms", "admin", *words, "--config", "/etc/oms/oms.toml", user="oms", stdin=stdin
    ).strip()


@pytest.fixture(scope="module")
def admin(installation: Installation, port: int) -> Iterator[Caller]:
    """The first administrator."""
    said = administered(installation, "add-user", "admin", "--role", "admin")
    with contextlib.closing(Caller(port)) as caller:
        shown = said.rpartition(" ")[2]
        caller.log_in("admin", shown)
        assert caller.call("userservices", "change_password", caller.sessid, 0, shown, OWN) == 0
        yield caller


def test_the_server_makes_itself_known_and_its_users_are_made_beside_it(
    installation: Installation, admin: Caller
) -> None:
    (told,) = re.findall(r'"ca_sha256": "([0-9a-f]{64})"', installation.log("server"))
    assert admin.func("ca_sha256") == {"sha256": told}
    (warned,) = (line for line in installation.log("server").splitlines() if '"warning"' in line)
    assert "oms admin add-user admin --role admin" in warned


def test_each_account_has_its_directory_to_itself(installation: Installation, admin: Caller) -> None:
    for user, others in (("oms", "/var/lib/oms-signer"), ("oms-ca", "/var/lib/oms")):
        assert "Permission denied" in installation.tried("ls", others, user=user).stderr
    assert "host-ca.pem" in installation.run("ls", "/var/lib/oms-signer", user="oms-ca")
    assert "oms.db" in installation.run("ls", "/var/lib/oms/server", user="oms")
    owners = installation.run("find", "/var/lib/oms", "/var/lib/oms-signer", "-printf", "%U:%G %m %p\n")
    for line in owners.splitlines():
        ids, mode, path = line.split(" ", 2)
        user = "oms-ca" if path.startswith("/var/lib/oms-signer") else "oms"
        assert ids == f"{installation.run('id', '-u', user).strip()}:{installation.run('id', '-g', user).strip()}"
        assert int(mode, 8) & 0o077 == 0, path


def test_the_signer_answers_the_server_alone(installation: Installation, admin: Caller) -> None:
    ask = "import asyncio, pathlib; from oms.server.ca.client import SignerClient as C;"
    ask += "print(asyncio.run(C(pathlib.Path('/run/oms-signer/signer.sock')).ca()).server_ca_sha256)"
    command = [sys.executable, "-c", ask]
    assert installation.run(*command, user="oms").strip() == admin.func("ca_sha256")["sha256"]
    assert "may not ask the signer" in installation.tried(*command).stderr
    assert "Permission denied" in installation.tried(*command, user="nobody").stderr


def keys(installation: Installation) -> list[str]:
    """What the agent has said of its key."""
    return re.findall(r"this host's key is ([0-9a-f]{64})", installation.log("agent"))


def test_a_host_is_let_in_by_its_unit_and_keeps_to_its_directory(
    installation: Installation, admin: Caller, port: int
) -> None:
    sha256 = admin.func("ca_sha256")["sha256"]
    own = 'name = "h1"\nauthorized_keys = ""\nlibvirtd = "never"\ncontainers = "never"\n'
    own += 'libvirt_uri = "qemu:///system?socket=/none"\n'
    own += f'server = "https://127.0.0.1:{port}"\nca_sha256 = "{sha256}"\n'
    settings = installation.file("/etc/oms/oms.toml")
    settings.write_text(settings.read_text().replace("[agent]\n", f"[agent]\n{own}"))
    before = installation.run("ls", "/var/lib/oms")
    with installation.served("agent"):
        until(lambda: admin.func("list_requests") == [{"name": "h1"}], lambda: installation.log("agent"))
        until(lambda: bool(keys(installation)), lambda: installation.log("agent"))  # said when OMS has answered
        (key,) = set(keys(installation))
        assert administered(installation, "sign", "h1", "--key-sha256", key) == "h1 is signed."
        until(lambda: [host["status"] for host in admin.func("list_signed")] == [1])
        assert installation.run("ls", "/var/lib/oms") == before
        assert "Permission denied" in installation.tried("ls", "/var/lib/oms-agent/agent", user="nobody").stderr
        installation.run("test", "-x", "/var/lib/oms-agent/storage/images", user="nobody")  # as the hypervisor's


def test_a_restarted_server_takes_over_the_bus_that_its_unit_spares(
    installation: Installation, admin: Caller, port: int
) -> None:
    assert "KillMode=process" in (SYSTEMD / "oms-server.service").read_text()
    before = bus(installation)
    server = installation.processes["server"]
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    assert alive(before)
    with installation.served("server"):
        until(lambda: answers(port))
        assert bus(installation) == before


def test_a_backup_brings_all_of_it_back_as_the_page_says(
    installation: Installation, admin: Caller, port: int
) -> None:
    """The commands of docs/operating.md as they stand there, but for those of systemd."""
    backup, restore = (block.text for block in blocks.of(OPERATING) if "oms-signer.tar" in block.text)
    assert restore.splitlines()[0] == "systemctl stop oms-server oms-signer"
    assert restore.splitlines()[-1] == "systemctl start oms-signer oms-server"
    by_hand = "\n".join(line for line in restore.splitlines() if not line.startswith("systemctl "))
    with installation.served("server"):
        until(lambda: answers(port))
        known = admin.func("ca_sha256"), admin.func("list_signed")
        installation.run("sh", "-ec", backup.replace("/root/", "/run/"))
    signer = installation.processes["signer"]
    signer.send_signal(signal.SIGTERM)
    assert signer.wait(60) == 0
    installation.run("sh", "-ec", "rm -r /var/lib/oms-signer/* /var/lib/oms/server/oms.db*")
    installation.run("sh", "-ec", by_hand.replace("/root/", "/run/"))
    with installation.served("signer"), installation.served("server"):
        until(lambda: answers(port), lambda: installation.log("server"))
        with contextlib.closing(Caller(port)) as caller:
            caller.log_in("admin", OWN)
            assert (caller.func("ca_sha256"), caller.func("list_signed")) == known
