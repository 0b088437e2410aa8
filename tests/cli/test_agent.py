"""`oms agent` as the process that it is: let in by a real OMS, told to end, refused."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import OMS, Ran, environment, oms
from tests.cli.served import Up
from tests.hosts.stack import Caller
from tests.waiting import until

SETTINGS = {"PATH": "/nonexistent", "OMS_AGENT_AUTHORIZED_KEYS": "", "OMS_AGENT_NAME": "h2"}
SECONDS = 30


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An OMS, whose own machine is another host."""
    with Up(tmp_path_factory.mktemp("up"), OMS_ADMIN_PASSWORD="a first password") as running:
        yield running


@pytest.fixture(scope="module")
def admin(up: Up) -> Caller:
    return up.log_in("a first password")


class Process:
    """A command that runs until it is told to end, at the latest when the test is over."""

    def __init__(self, *words: object) -> None:
        self.popen = subprocess.Popen(
            [*OMS, *map(str, words)],
            env=environment(**SETTINGS),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ran(self) -> Ran:
        """How it ended."""
        out, err = self.popen.communicate(timeout=SECONDS)
        assert "Traceback" not in err, err
        return Ran(self.popen.returncode, out, err)

    def end(self, number: int) -> Ran:
        self.popen.send_signal(number)
        return self.ran()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.end(signal.SIGKILL)


def words(up: Up, data: Path, *more: str) -> list[str]:
    """What tells an agent where its OMS is."""
    given = ["--server", up.shown("Address"), "--ca-sha256", up.shown("CA fingerprint"), "--data", str(data)]
    return [*given, *more]


def sign(admin: Caller) -> None:
    until(lambda: {"name": "h2"} in admin.func("list_requests"))
    admin.func("sign_requests", ["h2"])


def status(admin: Caller) -> int:
    return next((host["status"] for host in admin.func("list_signed") if host["name"] == "h2"), -1)


def test_a_host_is_enrolled_serves_until_it_is_told_to_end_and_serves_again(
    up: Up, admin: Caller, tmp_path: Path
) -> None:
    with Process("agent", "enrol", *words(up, tmp_path)) as enrolling:
        sign(admin)
        assert enrolling.ran()[:2] == (0, "h2 is signed.\n")
    for number in (signal.SIGTERM, signal.SIGINT):
        with Process("agent", *words(up, tmp_path)) as agent:
            until(lambda: status(admin) == 1)
            second = oms("agent", *words(up, tmp_path), more=SETTINGS)
            said = f"An agent runs in {tmp_path / 'agent'} already: end that one, or give another --data."
            assert (second.code, second.last) == (1, f"oms agent: {said}")
            assert agent.end(number)[:2] == (0, "")
            until(lambda: status(admin) == 0)


@pytest.mark.parametrize("command", [["agent"], ["agent", "enrol"]])
def test_what_keeps_a_host_out_ends_it_with_a_sentence(command: list[str], up: Up, tmp_path: Path) -> None:
    ran = oms(*command, *words(up, tmp_path, "--ca-sha256", "ab" * 32), more=SETTINGS)
    assert (ran.code, ran.out) == (1, "")
    assert ran.last.startswith(f"oms agent: {up.shown('Address')} is not the OMS that was meant")
    assert ran.last.endswith("Nothing was sent to it.")


@pytest.mark.parametrize(("command", "code"), [(["agent"], 0), (["agent", "enrol"], 130)])
def test_ctrl_c_ends_one_that_waits_to_be_signed(
    command: list[str], code: int, up: Up, admin: Caller, tmp_path: Path
) -> None:
    name = "-".join(command)  # one that no other process asks for
    with Process(*command, *words(up, tmp_path), "--name", name) as waiting:
        until(lambda: {"name": name} in admin.func("list_requests"))
        assert waiting.end(signal.SIGINT).code == code
    admin.func("remove_requests", [name])
