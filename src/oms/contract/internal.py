"""What OMS asks of a host's agent beside the public API: nobody can call these from outside."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from oms.contract.errors import AlreadyThere, NoMemory, NoSpace, NotSupported, NotThere, Unusable, WireError
from oms.contract.kvm import SERVICE as KVM
from oms.contract.operation import HostOperation, Permission, Service, operation
from oms.contract.ovz import SERVICE as OVZ
from oms.contract.ovz.migration import OpenVZMigrationNotCapable
from oms.contract.types import ContainerId

SERVICE = Service("agent", "Agent", "Between OMS and its agents.")


Hypervisor = Literal["kvm", "openvz"]


class HostFacts(msgspec.Struct, frozen=True):
    """What an agent says of its host. Sizes in MB; `hypervisors` of `kvm`, `openvz`."""

    version: str
    hypervisors: tuple[str, ...] = ()
    kvm_domain_type: str = ""
    architecture: str = ""
    distribution: str = ""
    kernel: str = ""
    cpus: int = 0
    memory_mb: int = 0
    vmcount: int = 0
    ssh_address: str = ""
    """`host:port` of its SSH server."""
    ssh_host_keys: tuple[str, ...] = ()
    """The public keys of its SSH server, as in `ssh-ed25519 AAAA...`."""


Spent = Literal["user", "system", "iowait", "idle", "other"]
Place = Annotated[str, Meta(max_length=256)]
Count = Annotated[int, Meta(ge=0, le=2**62)]


class FileSystemFigures(msgspec.Struct, frozen=True):
    """A file system on the host's own disks. KB; `free_kb` is what may be used without being root."""

    mount: Place
    device: Place
    size_kb: Count
    used_kb: Count
    free_kb: Count


class GuestFigures(msgspec.Struct, frozen=True):
    """How many guests of a hypervisor there are, and run."""

    total: Count
    running: Count


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent measured, told every few seconds unasked and kept nowhere. Counters are those since the host's
    start; `cpu_seconds` are of all CPUs together, bytes those of `device`, which is the uplink."""

    cpus: Count = 0
    cpu_seconds: dict[Spent, float] = {}
    load: float = 0
    uptime_seconds: float = 0
    memory_kb: Count = 0
    memory_available_kb: Count = 0
    swap_kb: Count = 0
    swap_free_kb: Count = 0
    device: Place = ""
    received_bytes: Count = 0
    sent_bytes: Count = 0
    bytes_per_second: Count = 0
    file_systems: Annotated[tuple[FileSystemFigures, ...], Meta(max_length=64)] = ()
    guests: dict[Hypervisor, GuestFigures] = {}


class JobState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job as its agent sees it. `state`: queued, running, done, failed, cancelled, or unknown (never heard of).

    `result` is JSON text; one of a running job is what its caller is answered already. `left` is in how many
    seconds it should end, 0 where that cannot be told. Times are seconds since 1970 by the host's clock.
    """

    id: str
    state: str
    progress: int = 0
    result: str = ""
    error: WireError | None = None
    notes: dict[str, str] = {}
    started: float = 0
    finished: float = 0
    left: float = 0


class Welcome(msgspec.Struct, frozen=True):
    """The agent's answer to `Hello`: its facts, and the jobs it has not forgotten."""

    facts: HostFacts
    jobs: tuple[JobState, ...]


@operation(SERVICE, Permission.ADMIN, timeout=5)
class Hello(HostOperation[Welcome], frozen=True):
    """First word on each connection: sets the agent's clock for deadlines, tells it the epoch of this server.

    `buses`: host:port of all nodes of the bus, where that is a cluster.
    """

    time: float
    server: str
    epoch: int
    authorized_key: str = ""
    buses: tuple[str, ...] = ()


GuestState = Literal["running", "paused", "shutdown", "crashed"]


class GuestLine(msgspec.Struct, frozen=True, gc=False):
    """A guest in a word: `id` is a machine's UUID or a container's id; `memory_mb` is what it may have, 0 where
    nothing limits it. `revision` is another number each time that the hypervisor tells of another definition."""

    kind: Hypervisor
    id: Annotated[str, Meta(max_length=64)]
    name: Place
    state: GuestState
    vcpus: Count
    memory_mb: Count
    revision: int = 0


class Roster(msgspec.Struct, frozen=True):
    """All guests of a host. `number` is that of the news after which it is so, `stamp` names the run of the agent
    that counts them; of hypervisors that are not in `looked`, nothing is known yet."""

    stamp: str
    number: int
    looked: tuple[Hypervisor, ...]
    guests: tuple[GuestLine, ...]


class GuestNews(msgspec.Struct, frozen=True):
    """What is other than after the news before: guests that are new or have changed, and the ids of those that are
    gone. Told unasked; who has missed one asks for the roster."""

    stamp: str
    number: int
    kind: Hypervisor
    now: tuple[GuestLine, ...] = ()
    gone: tuple[Annotated[str, Meta(max_length=64)], ...] = ()


@operation(SERVICE, Permission.ADMIN, timeout=10)
class AskGuests(HostOperation[Roster], frozen=True):
    """What guests are there?"""


@operation(SERVICE, Permission.ADMIN, timeout=5)
class AskJobs(HostOperation[tuple[JobState, ...]], frozen=True):
    """What became of these jobs?"""

    ids: tuple[str, ...]


@operation(SERVICE, Permission.ADMIN, timeout=5)
class CancelJob(HostOperation[JobState], frozen=True):
    """Cancel a job: one that waits is over at once, one that runs is undone when it can be."""

    id: str


@operation(SERVICE, Permission.ADMIN, timeout=10)
class SendFile(HostOperation[int], frozen=True):
    """Bring another host's job a file from here, from an offset on; answers the file's size once it has begun.

    `kind` says which directory it is in: `iso`, `template`, `rootfs`. After its end follows its SHA-256 (32
    bytes).
    """

    job: str
    kind: str
    name: str
    offset: int


class Gate(msgspec.Struct, frozen=True):
    """Where a job listens for another host: an IP address, a port, and the certificate (PEM) by which it is known
    there, made for this one purpose."""

    address: str
    port: int
    certificate: str


@operation(SERVICE, Permission.ADMIN, timeout=5, raises=(NotThere,))
class WhereGate(HostOperation[Gate], frozen=True):
    """Where does this job of yours listen for the other host?"""

    job: str


class Screen(msgspec.Struct, frozen=True):
    """A machine's screen as it can be reached on its host now: a Unix socket, or else a port on its loopback."""

    uuid: str
    name: str
    socket: str = ""
    port: int = 0


@operation(SERVICE, Permission.OPERATOR, timeout=10)
class FindScreen(HostOperation[Screen], frozen=True):
    """Where is the VNC server of a machine, by its name or UUID?"""

    guest: str


class Terminal(msgspec.Struct, frozen=True):
    """A guest's text console: the program that, run on the host with a terminal, is the console."""

    uuid: str
    name: str
    argv: tuple[str, ...]


@operation(SERVICE, Permission.OPERATOR, timeout=10)
class FindTerminal(HostOperation[Terminal], frozen=True):
    """What gives the text console of a guest, by its name, number or UUID? `kind`: `kvm` or `openvz`."""

    kind: str
    guest: str


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=300,
    changes=True,
    target="kvm_vm_name",
    lane=KVM,
    raises=(AlreadyThere, NoMemory, NoSpace, NotSupported, NotThere, Unusable),
)
class ReceiveMachine(HostOperation[int], frozen=True):
    """Take a machine that comes from another host: `certificate` (PEM) is by which that is known, `job` its job.

    Answered with 0 as soon as this host listens for it.
    """

    kvm_vm_name: Annotated[str, msgspec.Meta(max_length=255)]
    uuid: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f-]{36}\Z")]
    job: str
    certificate: str


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=300,
    changes=True,
    target="container_id",
    lane=OVZ,
    raises=(OpenVZMigrationNotCapable,),
)
class ReceiveContainer(HostOperation[int], frozen=True):
    """Take a container that comes from another host: `certificate` (PEM) is by which that is known, `job` its job.

    Answered with 0 as soon as this host listens for it.
    """

    container_id: ContainerId
    job: str
    certificate: str


INTERNAL: tuple[type[Any], ...] = (
    Hello, AskGuests, AskJobs, CancelJob, SendFile, WhereGate, ReceiveMachine, ReceiveContainer,
)  # fmt: skip
"""All that OMS asks of its agents by itself."""

JOBS: tuple[type[HostOperation[Any]], ...] = (ReceiveMachine, ReceiveContainer)
"""Those of them that are jobs: what one host does because another has a job that needs it."""
