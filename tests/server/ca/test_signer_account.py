"""The signer's own account: who cannot read its keys, whoever they are, and who may not ask. Needs root."""

import asyncio
import contextlib
import ctypes
import errno
import hashlib
import os
import select
import shutil
import signal
import stat
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from oms.bus import enrolment
from oms.server.ca import privilege, signer
from oms.server.ca.client import SignerClient, SignerError, SignerRefused
from oms.server.ca.privilege import Account, AccountError, CannotStart

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")

SIGNER, SERVER, STRANGER = 64123, 64124, 64125
CSR = enrolment.make_csr(enrolment.make_key(), "h1").encode()


def as_user(uid: int, act: Callable[[], str], gid: int | None = None) -> str:
    """What `act` returns in a process of this user, or the name of the error that it met."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            privilege.become(Account(uid, uid if gid is None else gid))
            said = act()
        except OSError as error:
            said = errno.errorcode.get(error.errno or 0, repr(error))
        except Exception as error:  # noqa: BLE001 -- the parent judges what it was
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def fork_signer(keys: Path, path: Path, user: str | None, clients: list[str], starter: int = 0) -> int:
    """A signer in a process of its own, which needs nothing of what is installed here once it runs."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([1, 4])  # as a root that logged in has some
            if starter:
                privilege.become(Account(starter, starter))
                # What a program that this user starts has; taking on a user by itself takes it away.
                ctypes.CDLL(None).prctl(privilege.PR_SET_DUMPABLE, 1, 0, 0, 0)
            signer.run(keys, path, user, clients)
            os._exit(0)
        except CannotStart:
            os._exit(3)
        except BaseException:  # noqa: BLE001 -- nothing may get back into the tests' own process
            traceback.print_exc()
            os._exit(70)
    return child


@dataclass
class Signer:
    """A running signer process, with its keys and its socket."""

    pid: int
    keys: Path
    socket: Path

    def show_ca(self) -> str:
        return asyncio.run(SignerClient(self.socket, patience=5).ca()).host_ca_sha256

    def sign(self) -> str:
        client = SignerClient(self.socket, patience=5)
        try:
            return asyncio.run(client.sign_host(CSR, hashlib.sha256(CSR).hexdigest())).name
        except SignerRefused as refusal:
            return refusal.name
        except SignerError as error:
            return str(error)

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        self.kill()
        raise AssertionError("the signer does not stop")

    def kill(self) -> None:
        """The end without notice."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = 0


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="signer-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def started(place: Path) -> Iterator[Signer]:
    """A signer at work, which stops without complaint when told to, unless the test ended it before."""
    keys, path = place / "ca", place / "signer.sock"
    one = Signer(fork_signer(keys, path, str(SIGNER), [str(SERVER)]), keys, path)
    try:
        yield one
    finally:
        code = one.stop() if one.pid else 0
    assert code == 0


@pytest.fixture
def running(place: Path) -> Iterator[Signer]:
    with started(place) as one:
        assert as_user(SERVER, one.sign) == "h1"
        yield one


def read(path: str | Path) -> Callable[[], str]:
    return lambda: Path(path).read_bytes().decode("latin-1")


def listing(path: str) -> Callable[[], str]:
    return lambda: str(list(Path(path).iterdir()))


def test_the_signer_is_its_user_for_good_and_leaves_no_core(running: Signer) -> None:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{running.pid}/status").read_text().splitlines())
    assert status["Uid"].split() == [str(SIGNER)] * 4
    assert status["Gid"].split() == [str(SIGNER)] * 4
    assert status["Groups"].split() == []
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert "Max core file size        0                    0" in Path(f"/proc/{running.pid}/limits").read_text()


def test_the_keys_belong_to_the_signer_alone(running: Signer) -> None:
    for path in [running.keys, *running.keys.iterdir()]:
        status = path.stat()
        assert status.st_uid == SIGNER
        assert stat.S_IMODE(status.st_mode) & 0o077 == 0


@pytest.mark.parametrize("uid", [SERVER, STRANGER])
def test_no_other_user_reaches_a_key_by_any_path(running: Signer, uid: int) -> None:
    key = running.keys / "host-ca.pem"
    proc = f"/proc/{running.pid}"
    assert as_user(uid, read(key)) == "EACCES"
    assert as_user(uid, read(f"{proc}/root{key}")) == "EACCES"
    assert as_user(uid, read(f"{proc}/cwd/{key}")) == "EACCES"
    assert as_user(uid, listing(f"{proc}/root")) == "EACCES"
    assert as_user(uid, listing(f"{proc}/fd")) == "EACCES"
    for door in ("mem", "environ", "maps"):
        assert as_user(uid, read(f"{proc}/{door}")) == "EACCES"


def test_not_even_the_same_user_looks_into_the_signers_memory(running: Signer) -> None:
    assert as_user(SIGNER, read(f"/proc/{running.pid}/mem")) == "EACCES"
    assert as_user(SIGNER, read(f"/proc/{running.pid}/root/etc/hostname")) == "EACCES"


def test_a_signer_that_an_ordinary_user_starts_keeps_that_user_out_of_its_memory_too(place: Path) -> None:
    home = place / "home"
    home.mkdir()
    os.chown(home, STRANGER, STRANGER)
    keys, path = home / "ca", home / "signer.sock"
    one = Signer(fork_signer(keys, path, None, [], starter=STRANGER), keys, path)
    try:
        assert as_user(STRANGER, one.sign) == "h1"
        assert as_user(STRANGER, read(f"/proc/{one.pid}/mem")) == "EACCES"
    finally:
        assert one.stop() == 0
    assert not path.exists()


def test_only_the_named_user_may_ask(running: Signer) -> None:
    assert as_user(SERVER, running.sign) == "h1"
    assert "Permission denied" in as_user(STRANGER, running.sign)
    assert as_user(STRANGER, running.sign, gid=SERVER) == "not_allowed"
    assert running.sign() == "not_allowed"  # root is a user like any other here


def test_a_signer_that_is_started_again_has_the_same_authorities(place: Path) -> None:
    with started(place) as first:
        before = as_user(SERVER, first.show_ca)
    with started(place) as second:
        assert as_user(SERVER, second.show_ca) == before
    assert len(before) == 64


def test_a_killed_signer_leaves_nothing_in_the_way(place: Path) -> None:
    with started(place) as first:
        before = as_user(SERVER, first.show_ca)
        first.kill()
    with started(place) as second:
        assert as_user(SERVER, second.show_ca) == before


def test_a_process_that_became_another_user_still_ends_with_whoever_started_it() -> None:
    reading, writing = os.pipe()
    starter = os.fork()
    if starter == 0:
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(privilege.PR_SET_PDEATHSIG, signal.SIGKILL)  # as `oms up` has it
            privilege.become(Account(SIGNER, SIGNER))
            os.write(writing, b"!")
        time.sleep(20)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        assert pipe.read(1) == b"!"
        os.kill(starter, signal.SIGKILL)
        os.waitpid(starter, 0)
        assert select.select([pipe], [], [], 5)[0]
        assert pipe.read() == b""  # neither of the two is left to write there


def test_handing_over_a_directory_follows_no_link_out_of_it(place: Path) -> None:
    keys, precious = place / "ca", place / "precious"
    keys.mkdir()
    precious.write_text("root's")
    (keys / "link").symlink_to(precious)
    (keys / "twin").hardlink_to(precious)
    (keys / "own").write_text("")
    privilege.hand_over(keys, Account(SIGNER, SIGNER))
    assert precious.stat().st_uid == 0
    assert (keys / "own").stat().st_uid == SIGNER
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    with pytest.raises(AccountError, match="cannot be given"):
        privilege.hand_over(keys / "link", Account(SIGNER, SIGNER))


def test_an_account_is_found_by_name_number_or_both() -> None:
    assert privilege.account("root") == Account(0, 0)
    assert privilege.account("64123") == Account(SIGNER, SIGNER)
    assert privilege.account("64123:7") == Account(SIGNER, 7)
    for text in (
        "nobody-of-that-name",
        "",
        "64123:",
        "64123:x",
        "-1",
        "٣",
        "4294967295",
        "1:4294967295",
        "99999999999",
    ):
        with pytest.raises(AccountError, match="no user"):
            privilege.account(text)


def test_root_is_no_user_for_a_signer_and_only_root_can_become_another(place: Path) -> None:
    path = place / "signer.sock"
    assert os.waitstatus_to_exitcode(os.waitpid(fork_signer(place / "ca", path, "0", []), 0)[1]) == 3

    def become() -> str:
        privilege.become(Account(SIGNER, SIGNER))
        return "became another"

    assert as_user(STRANGER, become).startswith("AccountError: Only root")
