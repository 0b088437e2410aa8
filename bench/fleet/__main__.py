"""`python -m bench.fleet [--hosts 500] [--guests 20] [--minutes 1]`."""

import argparse
import tempfile
from pathlib import Path

from bench import machine
from bench.fleet import parts
from bench.fleet.setting import prepared


def main(words: list[str] | None = None) -> None:
    """All parts."""
    asked = argparse.ArgumentParser(prog="make bench ARGS=fleet", description=__doc__)
    asked.add_argument("--hosts", type=int, default=500)
    asked.add_argument("--guests", type=int, default=20, help="on each host")
    asked.add_argument("--minutes", type=float, default=1.0, help="of a hundred mixed calls a second")
    given = asked.parse_args(words)
    print(machine.described(Path(tempfile.gettempdir())))
    print(
        f"{given.hosts} simulated hosts with {given.guests} guests each; what they keep is in memory\n", flush=True
    )
    with prepared(given.hosts, given.guests) as fleet:
        parts.enrolling(fleet)
        parts.rest(fleet)
        parts.lists(fleet)
        parts.mixed(fleet, given.minutes)
        parts.bus(fleet)


if __name__ == "__main__":
    main()
