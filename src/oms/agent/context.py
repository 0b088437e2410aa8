"""What a handler is given beside its operation: the host it works on, and the job it is part of."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from oms.agent.clock import Clock, LoopClock
from oms.agent.errands import Errands
from oms.agent.guests import Machines
from oms.agent.guests.containers import Containers
from oms.agent.host.lvm import Lvm
from oms.agent.leases import Leases
from oms.agent.netinterface.side import Side
from oms.agent.passage.passages import Passages
from oms.agent.stats.history import Steps
from oms.agent.stats.sampler import Moment
from oms.agent.stats.zabbix import Zabbix
from oms.agent.transfer.part import Bringer
from oms.agent.transfer.web import Fetching
from oms.contract.errors import HypervisorUnavailable, OmsError
from oms.contract.types import DiskFormat

JOURNAL = "journal"
"""The cause of an error where that could not be written."""


def breaks_off(error: OmsError) -> bool:
    """Whether a job is broken off by it, and gone on with when what it needs is back; else it is the job's end."""
    return isinstance(error, HypervisorUnavailable) or error.data.get("cause") == JOURNAL


class Job(Protocol):
    """The job that a changing operation runs as. It may be broken off at any point, by a crash, by a hypervisor
    that went away (HypervisorUnavailable), by a journal that cannot be written (what `record` raises); the same
    handler is then called again with `resumed` set and all that was recorded, to finish the job or to undo it.
    Where nothing was recorded before and no outcome is unknown, those errors are its end: nothing has happened."""

    id: str
    resumed: bool

    def recall(self, key: str) -> Any:
        """What an earlier run of this job recorded under the key, or None."""

    async def record(self, key: str, value: Any) -> None:
        """Write a JSON value down; it is on disk when this returns. Raises FuncManError where it cannot be: let it
        pass."""

    def progress(self, percent: float) -> None:
        """Tell how far the job is, 0 to 100; when it should end is told from how steps followed each other."""

    def note(self, key: str, text: str) -> None:
        """Say in the job's record what its documented answer has no room for."""

    async def answer(self, value: Any) -> None:
        """Answer the caller now, though the job goes on; that stands on disk when this returns. Once only: a run
        that was taken up again may say it again, and is not heard."""

    def cancellable(self) -> AbstractAsyncContextManager[None]:
        """`async with`: work that can be broken off. JobCancelled is raised in it (or before it, or at its next
        wait) once somebody has cancelled the job; whoever lets it pass has undone all before. Outside such a
        block a job runs to its end."""

    def aside(self) -> AbstractAsyncContextManager[None]:
        """`async with`: a wait for what others do, which may take hours. Meanwhile the jobs that wait behind this
        one run, those of the same target too: afterwards, look at everything anew."""


@dataclass(frozen=True)
class Storage:
    """The directories that are OMS's own on this host: only what lies in them is ever deleted with a machine."""

    images: Path
    """Disk images."""
    iso: Path
    """ISO images."""
    templates: Path
    """Template packages, and each unpacked beside."""
    rootfs: Path
    """Container templates."""
    sockets: Path
    """For machines on their way to or from another host; on this host's own disk."""

    @classmethod
    def below(cls, directory: Path, images: Path | None = None) -> "Storage":
        """The usual places."""
        below = (directory / name for name in ("iso", "templates", "rootfs", "sockets"))
        return cls(images or directory / "images", *below)

    def all(self) -> tuple[Path, ...]:
        """Each directory."""
        return self.images, self.iso, self.templates, self.rootfs, self.sockets


@dataclass(frozen=True)
class Offer:
    """What this host's administrator gives to machines, by the agent's settings."""

    bridge: str = ""
    """The bridge for those whose network nobody has said; "" is the usual one."""
    disk_format: DiskFormat = "qcow2"
    """Of new disk images for which nobody has said another."""
    block_devices: tuple[str, ...] = ()
    """Paths of devices, besides logical volumes, that may be given to machines as they are."""
    container_bridge: str = ""
    """The bridge for containers whose network nobody has said; "": none, they are routed."""
    container_stop_seconds: float = 30.0
    """How long a container's init has to shut it down before it is killed; 0: it is not asked."""


class Measures(Protocol):
    """How this host is."""

    async def now(self) -> Moment:
        """What was measured last; waits for the first."""

    async def run(self) -> None:
        """Measure for ever."""


class Remembers(Protocol):
    """How this host was."""

    def steps(self, step_seconds: int, first: int, last: int) -> Steps:
        """Averages and highest values by the time at which their steps began, from `first` to `last`. Raises
        OSError."""


@dataclass(frozen=True)
class Statistics:
    """How this host is and was; where there is a Zabbix agent to be asked, how it is comes from that."""

    sampler: Measures
    history: Remembers
    zabbix: Zabbix | None = None


@dataclass(frozen=True)
class Host:
    """The host, as handlers see it. `machines` is None where no hypervisor for machines can run, `containers`
    where there can be none; `leases` are the things that jobs hold besides the target that their operation names,
    `errands` what reads have set going."""

    storage: Storage
    machines: Machines | None
    job: Job
    leases: Leases
    offer: Offer = Offer()
    lvm: Lvm = field(default_factory=Lvm)
    errands: Errands = field(default_factory=Errands)
    relay: Bringer | None = None
    """Where bytes come from that callers and other hosts bring through OMS."""
    fetching: Fetching = field(default_factory=Fetching)
    containers: Containers | None = None
    passages: Passages | None = None
    """The ways to other hosts."""
    statistics: Statistics | None = None
    network: Side | None = None
    """How this host is connected; None where that is not for this agent to change."""
    clock: Clock = field(default_factory=LoopClock)
    """By which guests are waited for."""
