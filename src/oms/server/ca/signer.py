"""The signer: the one process that holds the keys of both authorities, run by an account of its own.

It listens on a Unix socket (0660) and answers only the accounts it was told of, whatever the socket's mode
says: the kernel tells who is at the other end. Each connection carries one question and one answer.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import stat
import struct
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import structlog

from oms import systemd
from oms.server.ca import privilege, protocol
from oms.server.ca.desk import Desk
from oms.server.ca.keystore import KeyStore
from oms.server.ca.privilege import CannotStart
from oms.server.ca.protocol import Answer, Failure, Question

log = structlog.get_logger("oms.signer")

CONVERSATION_SECONDS = 10.0
"""How long a question may take to arrive, and its answer to leave."""

_question = msgspec.json.Decoder(Question)


def _now() -> datetime:
    return datetime.now(UTC)


class SocketError(CannotStart):
    """The signer's socket cannot be made where it should be."""


def run(directory: Path, socket_path: Path, user: str | None = None, clients: Sequence[str] = ()) -> None:
    """The whole life of the signer process; returns after SIGTERM or SIGINT, `CannotStart` says why it cannot.

    `directory` holds the keys and is made at the first start, as are the authorities. `user` (a name, a uid, or
    uid:gid; needs root) is whom the process becomes. `clients` are the accounts that may ask, written likewise;
    without any, only the account that started the signer may. The socket's group is the first client's.
    """
    owner = privilege.account(user) if user else None
    asking = [privilege.account(client) for client in clients] or [privilege.myself()]
    os.umask(0o077)
    with listening(socket_path, asking[0].gid) as listener:
        if owner is not None:
            if os.geteuid() == 0:
                privilege.hand_over(directory, owner)
            privilege.become(owner)
        elif os.geteuid() == 0:
            log.warning(
                "the signer runs as root; as a service it has a user of its own, which nothing else runs as"
            )
        privilege.seal()
        work = serve(directory, listener, frozenset(client.uid for client in asking))
        asyncio.run(_until_told(work))


async def serve(
    directory: Path,
    listener: socket.socket,
    allowed: frozenset[int],
    *,
    clock: Callable[[], datetime] = _now,
) -> None:
    """Answers the users with the `allowed` uids at the listening socket, until cancelled."""
    with KeyStore(directory) as store:
        desk = Desk(store.authorities(clock()), store, clock)
        converse = partial(_converse, desk, allowed)
        server = await asyncio.start_unix_server(converse, sock=listener, limit=protocol.LONGEST)
        async with server:
            log.info("the signer is ready", directory=str(directory), uid=os.geteuid(), clients=sorted(allowed))
            systemd.ready("answers the server")
            await asyncio.gather(server.serve_forever(), systemd.pulse())


@contextlib.contextmanager
def listening(path: Path, group: int) -> Iterator[socket.socket]:
    """A Unix socket at the path, mode 0660 and of this group; one that a dead signer left is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listener:
        mask = os.umask(0o117)
        try:
            _clear(path)
            listener.bind(str(path))
            os.chown(path, -1, group, follow_symlinks=False)
        except OSError as error:
            raise SocketError(f"The socket {path} cannot be made: {error.strerror or error}.") from error
        finally:
            os.umask(mask)
        try:
            yield listener
        finally:
            # A signer that became another user may not remove it; the next start does.
            with contextlib.suppress(OSError):
                path.unlink()


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketError(f"{path} is there already and is no socket: name another path.")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink()
        return
    raise SocketError(f"A signer answers at {path} already: stop it first, or name another path.")


async def _converse(
    desk: Desk, allowed: frozenset[int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One question, one answer. Nobody waits for a peer that does not speak, or does not listen."""
    try:
        async with asyncio.timeout(CONVERSATION_SECONDS):
            writer.write(protocol.frame(await _answer(desk, allowed, reader, _peer(writer))))
            await writer.drain()
    except (TimeoutError, EOFError, OSError) as error:
        log.info("a peer left in the middle", error=type(error).__name__)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _answer(desk: Desk, allowed: frozenset[int], reader: asyncio.StreamReader, uid: int) -> Answer:
    try:
        text = await protocol.read_frame(reader)
        if uid not in allowed:
            log.warning("a user who may not ask was turned away", uid=uid)
            return Failure(
                "not_allowed", f"The user with uid {uid} may not ask the signer: run this as the server's account."
            )
        answer = desk.answer(_question.decode(text))
    except protocol.FrameTooLong:
        return Failure("too_long", f"A question has at most {protocol.LONGEST} bytes.")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Failure("bad_request", f"This is not a question that the signer knows: {error}.")
    except (EOFError, OSError):
        raise
    except Exception:
        # The edge of this process: a bug costs one answer, and tells the peer nothing.
        reference = secrets.token_hex(4)
        log.exception("a question could not be answered", reference=reference)
        return Failure("broken", f"The signer failed; its log has the reference {reference}.")
    if isinstance(answer, Failure):
        log.warning("nothing was issued", reason=answer.name, message=answer.message)
    return answer


def _peer(writer: asyncio.StreamWriter) -> int:
    """The uid of the process at the other end, as the kernel noted it when it connected."""
    credentials = struct.Struct("3i")
    connection: socket.socket = writer.get_extra_info("socket")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    _pid, uid, _gid = credentials.unpack(raw)
    return int(uid)


async def _until_told(work: Coroutine[None, None, None]) -> None:
    """Does the work until a signal says stop."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    log.info("the signer has stopped")
