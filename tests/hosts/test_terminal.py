"""`oms console` in a terminal, up to a real shell on a host."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.cli.command import oms as command
from tests.cli.terminal import Terminal
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.sshd import PrivateSshd
from tests.hosts.stack import NAME, Stack
from tests.waiting import until

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def oms(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with (
        PrivateSshd(tmp_path_factory.mktemp("sshd")) as sshd,
        Stack(tmp_path_factory.mktemp("oms"), libvirtd.uri, **sshd.agent_settings) as stack,
    ):
        until(lambda: sshd.keys.exists() and "opennode-oms" in sshd.keys.read_text())
        yield stack


@pytest.fixture
def given(oms: Stack) -> Iterator[dict[str, str]]:
    """What says to a command where OMS is, and who asks."""
    ca = str(oms.directory / "server" / "tls" / "pinned-ca.crt")
    with contextlib.closing(oms.caller()) as caller:
        yield {"OMS_URL": f"https://127.0.0.1:{oms.port}", "OMS_CA_FILE": ca, "OMS_TOKEN": caller.sessid}


def test_a_shell_on_a_host_is_in_the_terminal_until_the_key_that_leaves(given: dict[str, str]) -> None:
    with Terminal("console", NAME, more=given) as terminal:
        terminal.until(b"Ctrl-] leaves.")
        terminal.press(b"echo a$((20+3))b\r")
        terminal.until(b"a23b")
        terminal.press(b"\x1d")
        assert terminal.ended() == 0
        assert b"You have left the console." in terminal.shown
    assert command("consoles", "list-consoles", "-o", "json", more=given).out == "[]\n"


def test_a_shell_that_ends_ends_the_command(given: dict[str, str]) -> None:
    with Terminal("console", NAME, more=given) as terminal:
        terminal.until(b"Ctrl-] leaves.")
        terminal.press(b"exit\r")
        assert terminal.ended() == 0


def test_what_has_no_console_is_told(given: dict[str, str]) -> None:
    ran = command("console", NAME, "nothing", more=given)
    assert (ran.code, ran.out) == (1, "")
    assert f"There is no machine or container nothing on {NAME}" in ran.last
    ran = command("vnc", NAME, "nothing", more=given)
    assert (ran.code, ran.out) == (1, "")
