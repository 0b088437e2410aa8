"""`oms up` from its first start to its end: the whole process tree, for real, but for the hypervisor."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.bus import enrolment, pinning
from oms.cli.up import MACHINES
from tests.cli.command import oms
from tests.cli.served import Up, alive, owned
from tests.hosts.stack import Caller, CallFailed
from tests.waiting import until

PARTS = ["signer", "nats-server", "agent", "server"]
"""A server that is killed leaves its nats-server to the next one, so it comes last."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Not tmp_path: the path of a socket in it has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="oms-up-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def up(place: Path) -> Iterator[Up]:
    """The first start."""
    with Up(place / "first") as running:
        yield running


@pytest.fixture(scope="module")
def password(up: Up) -> str:
    """The one that is shown at the first start opens nothing until it is changed."""
    user, _, rest = up.shown("First login").partition(" / ")
    shown, _, once = rest.partition("   ")
    assert (user, once) == ("admin", "(shown this once; to be changed first)")
    admin = up.log_in(shown)
    with pytest.raises(CallFailed, match=r"AuthError.*change it first") as refused:
        admin.func("list_signed")
    assert refused.value.error["data"] == {"reason": "password_must_change"}
    return changed(admin, shown)


def changed(caller: Caller, password: str) -> str:
    """The password that a caller has from now on."""
    new = "of some words that nobody gave him"
    assert caller.call("userservices", "change_password", caller.sessid, 0, password, new) == 0
    return new


def test_the_first_start_says_where_it_is_and_how_to_log_in(up: Up, password: str) -> None:
    assert up.shown("Address") == f"https://127.0.0.1:{up.port}/"
    caller = up.log_in(password)
    assert caller.func("ca_sha256") == {"sha256": up.shown("CA fingerprint")}
    with pytest.raises(CallFailed, match="AuthError"):
        up.log_in(password[:-1])


def test_the_fingerprint_is_that_of_the_ca_which_is_served(up: Up) -> None:
    with urllib.request.urlopen(f"{up.shown('Address')}ca.pem", context=pinning.unverified()) as answer:
        served = enrolment.read_certificate(answer.read().decode())
    assert enrolment.fingerprint(served) == up.shown("CA fingerprint")


def test_this_machine_is_a_connected_host_when_it_says_so(up: Up, password: str) -> None:
    (host,) = up.log_in(password).func("list_signed")
    assert (host["name"], host["status"]) == (up.shown("This machine"), 1)
    assert up.shown("Its machines") in MACHINES.values()


def test_without_a_hypervisor_it_says_what_is_missing_and_how_to_get_it_and_serves(up: Up, password: str) -> None:
    (said,) = (line for line in up.said if "no machines can run here" in line)
    assert "qemu-system-x86_64 is not installed" in said
    assert "apt-get install libvirt-daemon-system" in said
    caller = up.log_in(password)
    with pytest.raises(CallFailed) as failed:
        caller.call("kvmservices", "list_vms", caller.sessid, 0, up.shown("This machine"))
    assert failed.value.error["data"]["reason"] == "not_supported"


def test_a_second_one_on_the_same_data_is_refused_and_the_first_goes_on(up: Up, password: str) -> None:
    ran = oms("up", "--data", up.data)
    said = f"oms up: {up.data} is being served already: end that, or give another --data."
    assert (ran.code, ran.out, ran.err) == (1, "", f"{said}\n")
    up.log_in(password)


def test_users_are_added_and_let_in_again_while_it_serves(up: Up) -> None:
    at = ("--data", up.data)
    added = oms("admin", "add-user", "anna", "--role", "operator", *at)
    assert added.code == 0
    shown = added.out.strip().rpartition(" ")[2]
    anna = up.log_in(shown, "anna")
    ran = oms("admin", "add-user", "anna", *at)
    assert (ran.code, ran.last) == (
        1,
        "oms admin: There is a user anna already.",
    )
    ran = oms("admin", "reset-password", "anna", "--password", *at, stdin="anna's own choice\n")
    assert (ran.code, ran.out) == (0, "anna has a new password, and no session any more.\n")
    with pytest.raises(CallFailed, match="AuthError"):
        anna.func("list_signed")
    anna.log_in("anna", "anna's own choice").func("list_signed")
    assert (
        oms("admin", "reset-password", "bert", *at).last
        == "oms admin: There is no user bert: userservices.list_users lists them."
    )


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_dies_is_started_again(up: Up, password: str, part: str) -> None:
    (before,) = up.pids(part)
    os.kill(before, signal.SIGKILL)
    until(lambda: up.pids(part) not in ([], [before]))

    def at_work() -> bool:
        return up.answers() and [host["status"] for host in up.log_in(password).func("list_signed")] == [1]

    until(at_work, up.text)


def test_nobody_else_can_look_into_what_it_keeps(up: Up) -> None:
    for name in ("server", "agent", "signer"):
        assert (up.data / name).stat().st_mode & 0o077 == 0
    assert up.data.stat().st_mode & 0o066 == 0


# --- its end


def test_ctrl_c_ends_all_of_it_and_the_next_start_knows_its_users(place: Path) -> None:
    with Up(place / "twice") as first:
        _, _, rest = first.shown("First login").partition(" / ")
        shown = rest.partition(" ")[0]
        family = first.family()
        assert [len(first.pids(part)) for part in PARTS] == [1, 1, 1, 1]
        assert first.end() == 0
    assert not any(map(alive, family))
    assert "Traceback" not in first.text()
    with Up(place / "twice", again=first) as second:
        assert second.shown("First login") == "as you set it up"
        assert second.shown("CA fingerprint") == first.shown("CA fingerprint")
        assert second.shown("This machine") == first.shown("This machine")
        assert shown not in second.text()
        second.log_in(shown)
        assert second.end(signal.SIGTERM) == 0


def test_a_first_start_that_fails_does_not_keep_the_first_password_to_itself(place: Path) -> None:
    first = Up(place / "failed")
    taken = socket.create_server(("127.0.0.1", first.pages_port))
    with taken, pytest.raises(AssertionError, match="cannot be listened on"), first:
        pass
    shown = re.search(r"admin / (\S+)", first.text())
    assert shown is not None, first.text()
    with Up(place / "failed", again=first) as second:
        second.log_in(shown[1])


# --- a password of one's own


def test_a_password_from_the_environment_is_the_first_users_and_no_childs_business(place: Path) -> None:
    given = "a person's own password"
    with Up(place / "given", OMS_ADMIN_PASSWORD=given) as up:
        assert "OMS_ADMIN_PASSWORD" in up.shown("First login")
        assert given not in up.text()
        up.log_in(given)
        for pid, line in up.family().items():
            assert given not in line
            assert given.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        assert given.encode() not in Path(f"/proc/{up.process.pid}/cmdline").read_bytes()


# --- without root

NOBODY = 65534
AS_NOBODY = ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@pytest.fixture
def nobodys(place: Path) -> Path:
    """A directory of an ordinary user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become an ordinary user: these tests run as one already")
    tried = subprocess.run([*AS_NOBODY, sys.executable, "-c", "import oms"], check=False, capture_output=True)
    if tried.returncode:
        pytest.skip("an ordinary user may not read this checkout")
    owned(place / "nobodys", NOBODY)
    return place / "nobodys"


def test_an_ordinary_user_can_serve_from_a_directory_of_his_own(nobodys: Path) -> None:
    with Up(nobodys / "data", *AS_NOBODY) as up:
        assert up.shown("This machine")
        assert (nobodys / "data").stat().st_uid == NOBODY
        for pid in up.family():
            assert f"Uid:\t{NOBODY}\t" in Path(f"/proc/{pid}/status").read_text()
        up.log_in(up.shown("First login").split()[2])


def test_an_ordinary_user_is_told_where_he_may_not_write(nobodys: Path) -> None:
    command = [*AS_NOBODY, "/usr/bin/env", "HOME=/nonexistent", sys.executable, "-m", "oms", "up"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = "oms up: /nonexistent: Permission denied. See that this account may use it, or give another --data.\n"
    assert (done.returncode, done.stderr) == (1, said)
