"""What is asked of libvirt, as plain functions on a connection or a domain. They block, and run in threads.

How the list is asked. What can be remembered of machines that are off, see `remembered`. Otherwise their sizes are
asked; for that they are off stands in every answer. Dear are CPU time, and anything at all that is asked in bulk
of running machines, because there libvirt asks each machine's own process, waits for its answer, and for one that
hangs it waits for ever. `info` of a single machine asks libvirt alone: 0.2 ms for each that runs instead of 4.
"""

import contextlib
import operator
import re
import uuid as uuids
from pathlib import Path
from typing import Any, Final

import libvirt

from oms.agent.guests import Definition, DomainType, Machine, MachineState, State
from oms.agent.guests.libvirt.definition import BadDefinition, definition, parse, with_settings
from oms.agent.guests.libvirt.ends import Ends
from oms.agent.guests.libvirt.remembered import Remembered
from oms.contract.errors import FuncManError, NoSuchMachine

STATES: Final[dict[int, State]] = {
    libvirt.VIR_DOMAIN_NOSTATE: "running",
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_SHUTOFF: "shutdown",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "paused",
}
NUMBERED = re.compile(r"<domain\b[^>]*\bid=")  # as libvirt writes one that runs
OFF = -1  # a domain's number while it does not run; known from the answer that named it, without another question

SIZES = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_VCPU
EVERYTHING_BUT_DISKS = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_TPM
)

Size = dict[str, int]


def states(remembered: Remembered, connection: Any) -> list[MachineState]:
    """All machines by name, in two or three calls and one more for each that runs."""
    stamp = remembered.stamp()
    if (known := remembered.states(stamp, connection)) is not None:
        states, running = known
        states += [found for domain in running if (found := _asked_by_itself(domain)) is not None]
    else:
        states = _asked_for_everything(connection)
        remembered.learn(stamp, states)
    return sorted(states, key=operator.attrgetter("name"))


def _asked_for_everything(connection: Any) -> list[MachineState]:
    """The first call says which there are. One that was off then and is not among those that are off in the second
    was started in between, and is asked by itself."""
    domains = connection.listAllDomains(0)
    off = connection.getAllDomainStats(SIZES, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE)
    sizes = {domain.UUIDString(): size for domain, size in off}
    states = []
    for domain in domains:
        size = sizes.get(domain.UUIDString(), {})
        if domain.ID() == OFF and "balloon.current" in size and "vcpu.current" in size:
            states.append(_off(domain, size))
        elif (found := _asked_by_itself(domain)) is not None:
            states.append(found)
    return states


def capacity(domain_type: DomainType, connection: Any) -> tuple[int, int]:
    """The host's CPUs, and the most CPUs of one machine."""
    _model, _memory_mb, cpus, *_ = connection.getInfo()
    return cpus, connection.getMaxVcpus(domain_type)


def emulator(domain_type: DomainType, connection: Any) -> str:
    """The path of the program that runs machines of that type."""
    offered = parse(connection.getDomainCapabilities(virttype=domain_type))
    return (offered.findtext("path") or "").strip()


def active_networks(connection: Any) -> frozenset[str]:
    """The names of libvirt's networks that are active now; none where it has no driver for them."""
    try:
        return frozenset(
            network.name() for network in connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return frozenset()


def look_up(connection: Any, name: str) -> Any:
    """The domain of that name, or else of that uuid: one call each. Raises NoSuchMachine."""
    try:
        return connection.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
    try:
        uuid = str(uuids.UUID(name))
    except ValueError:
        raise no_such(name) from None
    return by_uuid(connection, uuid)


def by_uuid(connection: Any, uuid: str) -> Any:
    """The domain of that uuid. Raises NoSuchMachine."""
    try:
        return connection.lookupByUUIDString(uuid)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
    raise no_such(uuid)


def no_such(name: str) -> NoSuchMachine:
    """The error that names what was looked for."""
    return NoSuchMachine(
        f"There is no machine {name!r} here, neither by name nor by UUID; list_vms shows those there are",
        machine=name,
    )


def machine(connection: Any, ends: Ends, domain: Any) -> Machine:
    """A machine in full."""
    number, reason, text = _at_one_moment(domain)
    keeps = bool(domain.isPersistent())
    if not text and not keeps:
        text = domain.XMLDesc(0)
    return Machine(
        uuid=domain.UUIDString(),
        name=domain.name(),
        state=STATES[number],
        live=described(connection, domain, text) if text else None,
        kept=described(connection, domain, domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)) if keeps else None,
        autostart=bool(domain.autostart()),
        saved=bool(domain.hasManagedSaveImage(0)),
        run=domain.ID() if text and domain.ID() != OFF else 0,
        ended=ends.of(domain.UUIDString(), reason) if number == libvirt.VIR_DOMAIN_SHUTOFF else "",
    )


def _at_one_moment(domain: Any) -> tuple[int, int, str]:
    """State, its reason, and the definition that it runs with, "" where it is off. Asked one after the other, and
    again where it has started or stopped in between: the definition of one that is off bears no number."""
    while True:
        number, reason = domain.state()
        if number == libvirt.VIR_DOMAIN_SHUTOFF:
            return number, reason, ""
        text = domain.XMLDesc(0)
        if NUMBERED.match(text):
            return number, reason, text


def disk_sizes(targets: list[str], domain: Any) -> dict[str, int]:
    """Bytes by the drive's name. libvirt goes by the format that the definition says."""
    sizes = {}
    for target in targets:
        with contextlib.suppress(libvirt.libvirtError):  # no medium, or no file
            sizes[target], _allocated, _physical = domain.blockInfo(target)
    return sizes


def every_machine(ends: Ends, connection: Any) -> list[Machine]:
    """All machines in full; those that go meanwhile are left out."""
    machines = []
    for domain in connection.listAllDomains(0):
        try:
            machines.append(machine(connection, ends, domain))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
    return machines


def is_in(domain: Any, *wanted: str) -> bool:
    """Whether it is in one of these states now."""
    number, _reason = domain.state()
    return STATES[number] in wanted


def at_work(domain: Any) -> bool:
    """Whether libvirt is in the midst of something long with it.

    Snapshots are no jobs to libvirt but keep the machine's monitor, and whoever asks for a job waits until they
    are done; saving and migrating are jobs, and use the monitor only now and then.
    """
    try:
        busy = domain.controlInfo()[0] != libvirt.VIR_DOMAIN_CONTROL_OK
        return bool(busy or domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise
        return False  # it is off


def percent(domain: Any) -> float | None:
    """How far that is; None where libvirt does not say."""
    _kind, _elapsed, _left, total, processed, *_ = domain.jobInfo()
    return 100 * processed / total if total else None


def abort(domain: Any) -> None:
    """Break it off; the machine goes on as before."""
    domain.abortJob()


def define(xml: str, connection: Any) -> str:
    """Make a machine of a definition; its uuid."""
    return str(connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE).UUIDString())


def undefine(domain: Any) -> None:
    """Forget it. One that runs would live on without a definition, so if somebody started it meanwhile, it
    ends."""
    domain.undefineFlags(EVERYTHING_BUT_DISKS)
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID}:
            raise


def redefine(domain: Any, *, vcpus: int | None, memory_kb: int | None) -> None:
    """Change what it starts with next. One definition takes the place of the other, so it is all or nothing."""
    as_it_is = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE  # with its passwords, to keep them
    changed = with_settings(domain.XMLDesc(as_it_is), vcpus=vcpus, memory_kb=memory_kb)
    domain.connect().defineXML(changed)


def described(connection: Any, domain: Any, text: str) -> Definition:
    """What stands in a definition of a machine. Raises FuncManError where that cannot be read."""

    def locate(pool: str, volume: str) -> Path:
        try:
            return Path(connection.storagePoolLookupByName(pool).storageVolLookupByName(volume).path())
        except libvirt.libvirtError:
            return Path(volume)

    try:
        return definition(text, locate)
    except BadDefinition as error:
        raise FuncManError(f"The definition of machine {domain.name()!r} cannot be read: {error}") from error


def _off(domain: Any, size: Size) -> MachineState:
    """Of a machine that does not run; that is its state, there is none other without a process."""
    current, most = size["balloon.current"], size["balloon.maximum"]
    return MachineState(domain.UUIDString(), domain.name(), "shutdown", size["vcpu.current"], current, most, 0)


def _asked_by_itself(domain: Any) -> MachineState | None:
    try:
        state, max_kb, kb, vcpus, cpu_ns = domain.info()
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None  # it has gone since it was listed
        raise
    return MachineState(domain.UUIDString(), domain.name(), STATES[state], vcpus, kb, max_kb, cpu_ns)
