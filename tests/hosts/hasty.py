"""OMS's command line with short time limits, so that tests see in seconds what callers see after a minute: that it
is not known yet how a call ends, and what becomes of it."""

import msgspec

from oms.cli.main import main
from oms.contract.operation import HostOperation
from oms.contract.registry import BY_WIRE

CHANGE_SECONDS = 4.0
READ_SECONDS = 11.0
"""A moment longer than an agent waits for a hypervisor that hangs, the question before included: its own words are
heard then."""

if __name__ == "__main__":
    for kind in BY_WIRE.values():
        if issubclass(kind, HostOperation):
            seconds = CHANGE_SECONDS if kind.facts.changes else READ_SECONDS
            kind.facts = msgspec.structs.replace(kind.facts, timeout=seconds)
    main()
