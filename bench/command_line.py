"""What it takes to start `oms`, beside `virsh`: CPU time, which other work on the machine does not lengthen.

    .venv/bin/python bench/command_line.py

The call itself is refused at once by an address where nobody listens, so only the way there is measured.
"""

import os
import resource
import subprocess
import sys

TIMES = 5
OMS = (sys.executable, "-m", "oms")
COMMANDS = {
    "virsh list": ("virsh", "-c", "test:///default", "list"),
    "python": (sys.executable, "-c", "pass"),
    "oms --help": (*OMS, "--help"),
    "oms kvm": (*OMS, "kvm", "--help"),
    "oms kvm list-vms": (*OMS, "kvm", "list-vms", "node1"),
}


def seconds(command: tuple[str, ...]) -> float:
    """CPU time of the quickest of some runs."""
    found = []
    environment = {**os.environ, "OMS_URL": "https://127.0.0.1:1", "OMS_TOKEN": "none"}
    for _ in range(TIMES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=False, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def main() -> None:
    """Print a line for each."""
    measured = {name: seconds(command) for name, command in COMMANDS.items()}
    for name, took in measured.items():
        print(f"{name:20} {took * 1000:5.0f} ms of CPU  {took / measured['virsh list']:5.1f} times virsh")


if __name__ == "__main__":
    main()
