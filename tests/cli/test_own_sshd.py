"""The SSH server of `oms up`: for OMS's key alone, and nothing of the machine's own is touched."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from oms.cli import own_sshd
from oms.server.ca import sshkeys
from tests.waiting import listens, until

needs_sshd = pytest.mark.skipif(
    os.geteuid() != 0 or not own_sshd.SSHD.exists(), reason="needs root and sshd (scripts/bootstrap test)"
)


def test_nobody_who_has_said_where_his_is_gets_another() -> None:
    for name in own_sshd.OURS:
        assert not own_sshd.is_wanted({name: ""}, configured=False)
    assert not own_sshd.is_wanted({}, configured=True)


@needs_sshd
def test_a_machine_that_serves_one_gets_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as served:
        monkeypatch.setattr(own_sshd, "USUAL_PORT", served.getsockname()[1])
        assert not own_sshd.is_wanted({}, configured=False)
    assert own_sshd.is_wanted({}, configured=False)


@needs_sshd
def test_it_lets_in_who_has_the_key_and_keeps_its_own(tmp_path: Path) -> None:
    first, _ = own_sshd.prepared(tmp_path / "sshd")
    key = (tmp_path / "sshd/ssh_host_ed25519_key").read_bytes()
    command, told = own_sshd.prepared(tmp_path / "sshd")
    assert (tmp_path / "sshd/ssh_host_ed25519_key").read_bytes() == key
    host, _, port = told["OMS_AGENT_SSH_ADDRESS"].partition(":")
    assert host == "127.0.0.1"
    private, public = sshkeys.new_pair("a test")
    mine = tmp_path / "mine"
    mine.touch(mode=0o600)
    mine.write_bytes(private)
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{port} {(tmp_path / 'sshd/ssh_host_ed25519_key.pub').read_text()}")
    words = ["ssh", "-F", "none", "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-p", port]
    words += ["-o", "IdentitiesOnly=yes", "-i", str(mine), "root@127.0.0.1", "echo in"]
    assert shutil.which("ssh")
    sshd = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        until(lambda: listens(int(port)), "sshd does not listen")
        refused = subprocess.run(words, check=False, capture_output=True, text=True)
        assert "Permission denied" in refused.stderr
        Path(told["OMS_AGENT_AUTHORIZED_KEYS"]).write_text(f"restrict {public}\n")
        assert subprocess.run(words, check=True, capture_output=True, text=True).stdout == "in\n"
    finally:
        sshd.terminate()
        sshd.communicate(timeout=10)
    assert first[:2] == command[:2]
