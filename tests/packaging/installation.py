"""OMS as its units install it, as far as that goes without systemd: accounts, directories, settings, processes."""

import configparser
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from tests.house.source import ROOT

SYSTEMD = ROOT / "packaging" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
SECONDS = 30


def why_not() -> str | None:
    """Why nothing can be installed here, in words for a skipped test; None where it can."""
    if os.geteuid() != 0:
        return "needs root: accounts and mounts do"
    if not shutil.which("systemd-sysusers"):
        return "needs systemd-sysusers (scripts/bootstrap test installs it)"
    tried = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    return f"needs mount namespaces: {tried.stderr.decode().strip()}" if tried.returncode else None


def service(unit: Path) -> Mapping[str, str]:
    """The settings of a unit's service; of one that stands there twice, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return parser["Service"]


class Installation:
    """A corner of this machine of its own. `with` installs OMS there; leaving ends what was started."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._ends = ExitStack()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._corner: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            script = Path(__file__).with_name("covered.py")
            unshare = ["unshare", "--mount", "--propagation=private", sys.executable, str(script)]
            self._corner = subprocess.Popen(
                [*unshare, str(ROOT), str(self._scratch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            ends.callback(self._leave)
            assert self._corner.stdout is not None
            assert self._corner.stdout.readline() == b"ready\n"
            self._install()
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _leave(self) -> None:
        self._corner.communicate(timeout=SECONDS)

    def _install(self) -> None:
        self.run("systemd-sysusers", str(SYSTEMD / "oms.sysusers"))
        self.run("ln", "-s", str(Path(sys.executable).with_name("oms")), "/usr/bin/oms")
        self.run("install", "-D", "-m", "640", str(ROOT / "packaging" / "oms.toml"), "/etc/oms/oms.toml")
        self.run("chgrp", "oms", "/etc/oms/oms.toml")

    def inside(self, *words: str) -> list[str]:
        """The words of a command that sees the installation."""
        return ["nsenter", f"--mount=/proc/{self._corner.pid}/ns/mnt", "--wd=/", *words]

    def run(self, *words: str, user: str = "root", stdin: str = "") -> str:
        """What a command says; it must succeed."""
        done = self.tried(*words, user=user, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tried(self, *words: str, user: str = "root", stdin: str = "") -> subprocess.CompletedProcess[str]:
        """How a command of a user ends."""
        command = self.inside("runuser", "-u", user, "--", *words)
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)

    def file(self, path: str) -> Path:
        """A file of the installation, as it is seen from outside."""
        return Path(f"/proc/{self._corner.pid}/root{path}")

    @contextmanager
    def served(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """A unit's process, under its account, in its directories, with no privilege more than it has there."""
        unit = service(SYSTEMD / f"oms-{name}.service")
        user = unit.get("User", "root")
        self._make_directories(unit, user)
        groups = (
            [f"--groups={unit['SupplementaryGroups']}"] if "SupplementaryGroups" in unit else ["--clear-groups"]
        )
        bounds = ["--bounding-set=-all", "--inh-caps=-all"] if unit.get("CapabilityBoundingSet") == "" else []
        become = ["setpriv", f"--reuid={user}", f"--regid={unit.get('Group', user)}", *groups, *bounds]
        with (self._scratch.parent / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.inside(*become, "--no-new-privs", *shlex.split(unit["ExecStart"])),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=int(unit["UMask"], 8),
                env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            )
        self.processes[name] = process
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(SECONDS)

    def _make_directories(self, unit: Mapping[str, str], user: str) -> None:
        for kind, above in (("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")):
            if kind in unit:
                mode = unit.get(f"{kind}Mode", "755")
                self.run(
                    "install", "-d", "-m", mode, "-o", user, "-g", unit.get("Group", user), f"{above}/{unit[kind]}"
                )

    def log(self, name: str) -> str:
        """What a unit's process said."""
        return (self._scratch.parent / f"{name}.log").read_text()
