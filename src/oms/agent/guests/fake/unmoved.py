"""What cannot be had of machines that are in memory alone: copies of their disks, and moves to other hosts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from oms.agent.guests.moves import Admission, Doorkeeper, Portable
from oms.contract.errors import NotSupported


class Unmoved:
    """See the Protocols `Copies` and `Moves`. What changes nothing is answered, all else refused."""

    async def copy_disks(self, uuid: str, files: Mapping[str, Path], on_progress: Callable[[float], None]) -> None:  # noqa: ARG002
        """There are no disks."""
        _refuse()

    async def end_copy(self, uuid: str, directory: Path) -> None:
        """There is none."""

    async def portable(self, uuid: str) -> Portable:  # noqa: ARG002
        """Nothing would arrive."""
        _refuse()

    async def check_fits(self, definition: str) -> None:  # noqa: ARG002
        """Nothing would arrive."""
        _refuse()

    async def send_away(
        self,
        uuid: str,  # noqa: ARG002
        definition: str,  # noqa: ARG002
        sockets: Path,  # noqa: ARG002
        copied: tuple[str, ...],  # noqa: ARG002
        on_progress: Callable[[float], None],  # noqa: ARG002
    ) -> None:
        """Nothing would arrive."""
        _refuse()

    async def has_left(self, uuid: str) -> bool:  # noqa: ARG002
        """None has."""
        return False

    async def has_arrived(self, uuid: str) -> bool:  # noqa: ARG002
        """None has."""
        return False

    async def drop_arrived(self, uuid: str) -> None:
        """There is none."""

    def doorkeeper(self, admission: Admission) -> Doorkeeper:  # noqa: ARG002
        """There is no door."""
        _refuse()

    def door(self) -> Path:
        """There is none."""
        _refuse()

    async def socket_owner(self) -> tuple[int, int]:
        """There are no sockets."""
        _refuse()


def _refuse() -> NoReturn:
    raise NotSupported("A simulated machine has no disks and no memory that could be copied or moved.")
