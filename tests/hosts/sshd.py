"""An SSH server of a test's own, on loopback: OpenSSH's, with keys and settings in a directory."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.free_port import free_port
from tests.hosts.enclosure import only_child
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.waiting import listens, until


class PrivateSshd:
    """`with PrivateSshd(directory, libvirtd) as sshd:` has one at 127.0.0.1, port `sshd.port`."""

    def __init__(self, directory: Path, libvirtd: PrivateLibvirtd | None = None) -> None:
        """With a `libvirtd`, it runs where that does, whose machines' sockets are seen from nowhere else."""
        self.directory, self.port = directory, free_port()
        self.keys = directory / "authorized_keys"
        self._libvirtd = libvirtd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def agent_settings(self) -> dict[str, str]:
        """How an agent is told of it."""
        return {
            "ssh_address": f"127.0.0.1:{self.port}",
            "ssh_host_keys": str(self.directory),
            "authorized_keys": str(self.keys),
        }

    def __enter__(self) -> "PrivateSshd":
        self.directory.mkdir(parents=True, exist_ok=True)
        run = self._libvirtd.root / "run" if self._libvirtd else Path("/run")
        (run / "sshd").mkdir(exist_ok=True)  # where it shuts its unprivileged half in
        self.new_key()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def new_key(self) -> None:
        """Another key by which it is known from its next start on."""
        key = self.directory / "ssh_host_ed25519_key"
        key.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)

    def fingerprint(self) -> str:
        """Of its key, as ssh-keygen shows it, and the key's kind."""
        key = self.directory / "ssh_host_ed25519_key.pub"
        shown = subprocess.run(
            ["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True
        ).stdout.split()
        return f"{shown[1]} ssh-ed25519"

    @property
    def runs(self) -> bool:
        """Whether it is started."""
        return self._process is not None

    def sessions(self) -> list[psutil.Process]:
        """Its processes beside the one that listens: two for each connection that is there."""
        assert self._process is not None
        own = psutil.Process(self._process.pid)
        listening = own if self._libvirtd is None else psutil.Process(only_child(own.pid))
        children: list[psutil.Process] = listening.children(recursive=True)
        return children

    def start(self, *settings: str) -> None:
        """Listen; `settings` stand before all others, so they count."""
        config = self.directory / "sshd_config"
        lines = [
            *settings,
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.directory / 'ssh_host_ed25519_key'}",
            f"AuthorizedKeysFile {self.keys}",
            "PidFile none",
            "StrictModes no",  # tests lie in directories that everybody may write
            "UsePAM no",
            "AcceptEnv LANG LC_*",  # as Debian's own settings have it
            f"SetEnv HOME={self.directory}",  # whoever runs the tests may have a shell that begins slowly
            "PrintMotd no",
            "PermitRootLogin prohibit-password",
            "MaxStartups 200",
        ]
        config.write_text("\n".join(lines) + "\n")
        with (self.directory / "log").open("ab") as log:
            command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
            if self._libvirtd is not None:
                command = self._libvirtd.inside(*command)
            self._process = subprocess.Popen(command, stderr=log)
        until(lambda: listens(self.port), lambda: f"sshd does not listen: {(self.directory / 'log').read_text()}")

    def stop(self) -> None:
        """End it; connections that are there go on."""
        if self._process is not None:
            pid = self._process.pid
            os.kill(pid if self._libvirtd is None else only_child(pid), signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    @contextlib.contextmanager
    def started_with(self, *settings: str) -> Iterator[None]:
        """Meanwhile with other settings."""
        self.stop()
        self.start(*settings)
        try:
            yield
        finally:
            self.stop()
            self.start()
