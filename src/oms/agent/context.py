"""What a handler is given beside its operation: the host it works on, and the job it is part of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from oms.agent.guests import Machines


class Job(Protocol):
    """The job that a changing operation runs as. A crash may break it off at any point; the same handler is then
    called again with `resumed` set and all that was recorded, to finish the job or to undo it."""

    id: str
    resumed: bool

    def recall(self, key: str) -> Any:
        """What an earlier run of this job recorded under the key, or None."""

    async def record(self, key: str, value: Any) -> None:
        """Write a JSON value down; it is on disk when this returns."""

    def progress(self, percent: int) -> None:
        """Tell how far the job is, 0 to 100."""

    def note(self, key: str, text: str) -> None:
        """Say in the job's record what its documented answer has no room for."""


@dataclass(frozen=True)
class Storage:
    """The directories that are OMS's own on this host: only what lies in them is ever deleted with a machine."""

    images: Path


@dataclass(frozen=True)
class Host:
    """The host, as handlers see it. `machines` is None where no hypervisor for machines can run."""

    storage: Storage
    machines: Machines | None
    job: Job
