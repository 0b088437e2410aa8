"""What makes a host's network the same after its next start: the files of whatever brings it up there.

One module for each way (`ifupdown`, `networkd`), detected on the host. OMS writes files of its own beside those of
the administrator, whose lines it reads and never rewrites. What OMS keeps stands, as it is, in `oms/network.json`
beside them; it is written last, so that it says what all of them say.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec
import structlog

from oms import durable
from oms.agent.host.network import Network
from oms.agent.netinterface.kept import Kept, Theirs
from oms.contract.errors import ConfigurationReadError, FuncManError

Way = Literal["auto", "ifupdown", "networkd", "none"]
log = structlog.get_logger("oms.agent")
RECORD: Final = Path("etc/oms/network.json")
NOT_KEPT: Final = "until the host's next start: "


class Files(Protocol):
    """One way of bringing a network up. All of it blocks; OSError is let through."""

    words: str
    """What it is called, for people; or why nothing is kept."""
    keeps: bool

    def theirs(self, network: Network) -> Mapping[str, Theirs]:
        """What the administrator's files say of links."""

    def check(self, kept: Kept, network: Network) -> None:
        """Raise NotSupported where that cannot be written in this way."""

    def write(self, kept: Kept) -> None:
        """Make its files say that, and nothing else of OMS's."""

    def reload(self) -> list[str]:
        """The command by which what runs takes the files, if it must be told."""


class NoFiles:
    """A host whose network comes up in a way that OMS does not write."""

    keeps = False

    def __init__(self, why: str) -> None:
        self.words = why

    def theirs(self, network: Network) -> Mapping[str, Theirs]:  # noqa: ARG002
        """None is known."""
        return {}

    def check(self, kept: Kept, network: Network) -> None:
        """Nothing is written."""

    def write(self, kept: Kept) -> None:
        """Nothing is written."""

    def reload(self) -> list[str]:
        """Nobody is told."""
        return []


def detect(way: Way, root: Path) -> Files:
    """How this host's network comes up; by what runs, then by what is installed."""
    from oms.agent.netinterface.files.ifupdown import Ifupdown
    from oms.agent.netinterface.files.networkd import Networkd

    if way == "none":
        return NoFiles("the agent's setting network_files is none")
    if way == "networkd" or (way == "auto" and (root / "run/systemd/netif/state").exists()):
        return Networkd(root)
    if way == "auto" and (root / "run/NetworkManager").exists():
        return NoFiles("this host's network is NetworkManager's, whose files OMS does not write")
    there = (root / "etc/network/interfaces").exists() and shutil.which("ifup", path=_path(root))
    if way == "ifupdown" or there:
        return Ifupdown(root)
    return NoFiles("neither ifupdown nor systemd-networkd was found on this host")


def _path(root: Path) -> str:
    return ":".join(str(root / place) for place in ("usr/sbin", "sbin", "usr/bin"))


def read(root: Path) -> Kept:
    """What OMS keeps here. Raises ConfigurationReadError where that cannot be read: it is not guessed."""
    try:
        return msgspec.json.decode((root / RECORD).read_bytes(), type=Kept)
    except FileNotFoundError:
        return Kept()
    except (OSError, msgspec.MsgspecError, UnicodeError) as error:
        log.exception("what OMS keeps of the network cannot be read")
        raise ConfigurationReadError(
            f"What OMS keeps of this host's network ({RECORD.name}) cannot be read: mend it, or move it away."
        ) from error


def keep(files: Files, root: Path, kept: Kept) -> None:
    """Write it all down. Raises FuncManError; then it may be half there, and writing the old again mends that."""
    try:
        files.write(kept)
        durable.own_directory((root / RECORD).parent, 0o755)
        durable.write_whole(root / RECORD, msgspec.json.format(msgspec.json.encode(kept)) + b"\n", 0o644)
    except OSError as error:
        log.exception("the network's files were not written")
        raise FuncManError(f"This host's files for {files.words} cannot be written ({error.strerror}).") from error


def put(path: Path, text: str, mode: int = 0o644) -> None:
    """A file of OMS's, whole; none where there is nothing to say. Raises OSError."""
    if not text:
        path.unlink(missing_ok=True)
        return
    if not path.parent.is_dir():
        durable.own_directory(path.parent, 0o755)
    if not path.is_file() or path.read_text(errors="replace") != text:
        durable.write_whole(path, text.encode(), mode)
