"""The first process of a private corner of this machine; `libvirtd.PrivateLibvirtd` starts it.

It is run as `unshare --mount --pid --fork ... python enclosure.py DIR`: pid 1 of its own pid namespace, in its own
mount namespace. There it puts directories below DIR over those that a system daemon uses, says so by one line
on its output, and then waits until its input is closed. When it goes, the kernel ends everything it enclosed,
guests included, so nothing is left behind even by a test run that was killed.
"""

import signal
import subprocess
import sys
from pathlib import Path

# What libvirt keeps where. All of /run: without the sockets there, no machined, firewalld or polkit hears of us.
COVERED = {
    "run": "/run",
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}


def cover(root: Path) -> None:
    """Bind DIR/run over /run and so on."""
    for name, place in COVERED.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(root / name), place], check=True)


if __name__ == "__main__":
    cover(Path(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects what ends; orphans come to pid 1
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()  # until whoever started us closes it, or dies
