"""Trees of files that are brought to another host, in passes of which each carries only what has changed.

rsync does it, on both sides confined to the tree and to the ids of its owner (`confined`): neither does a hostile
sender write, nor a hostile receiver read, anything else. The two speak over a socket that the caller connects. The
receiver's arguments are its own: nothing that the sender says makes it do more than take files into its tree.
"""

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from oms.agent.host import confined, process
from oms.agent.host.process import Completed
from oms.contract.errors import FuncManError, NoSpace, NotSupported

PROGRAM: Final = "/usr/bin/rsync"
SHELL: Final = "/bin/sh"
VANISHED: Final = 24
"""rsync's exit status where files went while it looked, which is what files of a running system do."""
_FULL = ("No space left on device", "Disk quota exceeded")
# Devices are left out: nobody but the host's own root can make one, and a container gets its own from the host.
# What has changed is told by size and time, to the nanosecond, which rsync looks at only when it is asked to.
_SENDER = (
    "--archive", "--hard-links", "--acls", "--xattrs", "--sparse", "--no-devices", "--numeric-ids", "--delete",
    "--no-inc-recursive", "--modify-window=-1",
)  # fmt: skip
# What a sender with those arguments asks a receiver to be started with; said here, and not by it. After `e.` stand
# the abilities of the sender that may be used: those that every rsync of the last ten years has.
_RECEIVER = (
    "--server", "-lHogtpAXrSe.LsfxC", "-@-1", "--specials", "--delete", "--numeric-ids", ".", f"{confined.TREE}/",
)  # fmt: skip
# rsync wants to start what it speaks to. What it starts is this: the two directions of the socket, until the other
# side ends its own.
_JOIN = 'exec 3<&0 4>&1 >&2 </dev/null; exec "$@"'
_JOINED = f"{SHELL} -c 'exec 5<&0; cat <&5 >&4 & exec cat <&3'"


async def send(tree: Path, ids: Iterable[confined.Range], conversation: socket.socket) -> None:
    """Have the other side's tree become as this one is. Raises FuncManError."""
    words = [PROGRAM, *_SENDER, f"--rsh={_JOINED}", f"{confined.TREE}/", f"there:{confined.TREE}/"]
    done = await _run(tree, ids, [SHELL, "-c", _JOIN, "rsync", *words], conversation)
    if done.exit not in (0, VANISHED):
        raise _error(done, "Files could not be sent")


async def receive(tree: Path, ids: Iterable[confined.Range], conversation: socket.socket) -> None:
    """Have this tree become as the other side's is. Raises FuncManError, NoSpace."""
    done = await _run(tree, ids, [PROGRAM, *_RECEIVER], conversation)
    if done.exit not in (0, VANISHED):
        raise _error(done, "Files could not be received")


def lacking() -> str:
    """What this host lacks for it, as in "rsync is not installed"; "" where it has all."""
    return "" if Path(PROGRAM).exists() else "rsync is not installed"


async def _run(
    tree: Path, ids: Iterable[confined.Range], program: list[str], conversation: socket.socket
) -> Completed:
    return await process.run(confined.argv(tree, ids, program), timeout=None, conversation=conversation)


def _error(done: Completed, what: str) -> FuncManError:
    if any(words.encode() in done.stderr for words in _FULL):
        return NoSpace(f"{what}: there is no room left for them ({done.words})")
    if done.exit == confined.FAILED:
        return NotSupported(f"{what}: this host {done.words}")
    return FuncManError(f"{what}: {done.words or f'rsync ended with {done.exit}'}", exit=done.exit)
