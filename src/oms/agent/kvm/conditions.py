"""What a machine must be like for what is asked of it, and the words where it is not."""

import contextlib
import uuid

from oms.agent.context import Host
from oms.agent.guests import Definition, Machine, Machines
from oms.contract.errors import (
    AlreadyThere,
    FuncManError,
    MachineIsOff,
    NoSuchMachine,
    NotSupported,
    ParameterMismatch,
)


def machines_of(host: Host) -> Machines:
    """The host's machines. Raises NotSupported where it can have none."""
    if host.machines is None:
        raise NotSupported("This host runs no virtual machines: no hypervisor was found when its agent started")
    return host.machines


async def check_name(name: str, machines: Machines, parameter: str) -> None:
    """See that a new machine may have the name, which came as that parameter.

    One that reads as a UUID would stand in the way of the machine that has it. Raises ParameterMismatch,
    AlreadyThere.
    """
    with contextlib.suppress(ValueError):
        uuid.UUID(name)
        raise ParameterMismatch(
            f"Parameter {parameter} is {name!r}, which is a UUID: choose a name.", parameter=parameter
        )
    with contextlib.suppress(NoSuchMachine):
        await machines.find(name)
        raise AlreadyThere(f"There is a machine {name!r} on this host already: choose another name", machine=name)


def present(machine: Machine) -> Definition:
    """What it is made of now: as it runs, or as it will start where it is off."""
    definition = machine.live or machine.kept
    assert definition is not None
    return definition


def check_on(machine: Machine) -> None:
    """Raises MachineIsOff."""
    if machine.live is None:
        raise MachineIsOff(f"Machine {machine.name!r} is off; start it with start_vm first", machine=machine.name)


def check_runs(machine: Machine) -> None:
    """Raises MachineIsOff, and FuncManError for one that is on and yet does nothing."""
    check_on(machine)
    if machine.state != "running":
        raise FuncManError(
            f"Machine {machine.name!r} is {condition(machine)}, so its guest cannot react; {CURES[machine.state]}",
            machine=machine.name,
            state=machine.state,
        )


def check_kept(machine: Machine, deed: str) -> None:
    """Raises FuncManError for a machine that is gone when it stops, of which `deed` (as in `be saved`) is not
    possible."""
    if machine.kept is None:
        raise FuncManError(
            f"Machine {machine.name!r} is gone when it stops, so it cannot {deed}", machine=machine.name
        )


CURES = {
    "paused": "let it go on with resume_vm",
    "shutdown": "wait a moment, or end it with stop_vm",
    "crashed": "end it with stop_vm, then start it",
}


def condition(machine: Machine) -> str:
    """What a machine that is on and does not run is doing, as in "it is ..."."""
    return {
        "paused": "paused",
        "shutdown": "just shutting down",
        "crashed": "crashed, and kept so to be looked at",
        "running": "running",
    }[machine.state]
