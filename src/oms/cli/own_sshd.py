"""An SSH server for `oms up` on a machine that has none: consoles come to hosts by SSH, to this one as well.

It listens on loopback alone, lets nobody in but OMS's key, and is not the machine's own: its keys and settings are
in OMS's directory, and nothing of it is left when `oms up` ends.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from oms.server.ca import sshkeys

SSHD = Path("/usr/sbin/sshd")
RUN = Path("/run/sshd")
"""Where sshd shuts the half of itself in that has no rights yet."""
USUAL_PORT = 22
OURS = ("OMS_AGENT_SSH_ADDRESS", "OMS_AGENT_SSH_HOST_KEYS", "OMS_AGENT_AUTHORIZED_KEYS")
"""The agent's settings that say where its host's SSH server is."""


def is_wanted(environment: Mapping[str, str], *, configured: bool) -> bool:
    """Whether there is none, and nobody has said where one is. `configured`: in a file of settings, perhaps."""
    if configured or os.geteuid() != 0 or not SSHD.exists() or any(name in environment for name in OURS):
        return False
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", USUAL_PORT)) != 0


def prepared(directory: Path) -> tuple[list[str], dict[str, str]]:
    """The words that run it, and what the agent is to be told of it. Raises OSError."""
    directory.mkdir(mode=0o700, exist_ok=True)
    RUN.mkdir(mode=0o755, exist_ok=True)
    key, keys = directory / "ssh_host_ed25519_key", directory / "authorized_keys"
    if not key.exists():
        private, public = sshkeys.new_pair("oms up")
        key.touch(mode=0o600)
        key.with_name(f"{key.name}.pub").write_text(f"{public}\n")
        key.write_bytes(private)
    port = _free_port()
    config = directory / "sshd_config"
    # Not strict about who may write above OMS's directory: whoever can, has all of OMS.
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {key}\nAuthorizedKeysFile {keys}\nPidFile none\nStrictModes no\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "AllowUsers root\nAcceptEnv LANG LC_*\nPrintMotd no\nLogLevel ERROR\n"
    )
    address = f"127.0.0.1:{port}"
    told = dict(zip(OURS, (address, str(directory), str(keys)), strict=True))
    return [str(SSHD), "-D", "-e", "-f", str(config)], told


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
