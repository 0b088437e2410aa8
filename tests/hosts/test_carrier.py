"""SSH's bytes to and from a real sshd: all of them in order, over new keys and with any cipher; and none that were
changed on their way."""

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import asyncssh
import pytest

from oms.server.consoles.ways import BROKEN, Way, Ways
from tests.hosts.sshd import PrivateSshd

pytestmark = pytest.mark.hosts
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    with PrivateSshd(tmp_path_factory.mktemp("sshd")) as made:
        key = made.directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        made.keys.write_text(key.with_suffix(".pub").read_text())
        yield made


@asynccontextmanager
async def connected(sshd: PrivateSshd, port: int = 0) -> AsyncIterator[asyncssh.SSHClientConnection]:
    private = (sshd.directory / "key").read_bytes()
    known = (sshd.directory / "ssh_host_ed25519_key.pub").read_text()

    async def find(_: str) -> Way:
        return Way("host", "127.0.0.1", port or sshd.port, private, (known,))

    connection = await Ways(find).own("host")
    try:
        yield connection
    finally:
        connection.abort()
        await connection.wait_closed()


@pytest.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[str]:
    """A socket that says whatever it is told."""

    saying: list[asyncio.Task[None]] = []

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(MIB):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        saying.append(asyncio.create_task(say(reader, writer)))

    path = str(tmp_path / "mirror")
    async with await asyncio.start_unix_server(come, path):
        yield path
    await asyncio.wait_for(asyncio.gather(*saying, return_exceptions=True), 30)


async def told(connection: asyncssh.SSHClientConnection, mirror: str, data: bytes) -> bytes:
    """What comes back of it, said in pieces of any size."""
    reader, writer = await connection.open_unix_connection(mirror, encoding=None)

    async def speak() -> None:
        sizes, at = random.Random(len(data)), 0
        while at < len(data):
            size = sizes.choice((1, 5, 700, 32 * 1024, 200_000))
            writer.write(data[at : at + size])
            await writer.drain()
            at += size
        writer.write_eof()

    speaking = asyncio.create_task(speak())
    heard: bytes = await reader.read()
    await speaking
    return heard


@contextmanager
def set_so(sshd: PrivateSshd, setting: str) -> Iterator[None]:
    with sshd.started_with(setting) if setting else nullcontext():
        yield


@pytest.mark.parametrize("own_keys_after", [0, MIB])
@pytest.mark.parametrize(
    "setting",
    [
        "",
        "RekeyLimit 1M",
        "Ciphers aes256-gcm@openssh.com",
        "Ciphers chacha20-poly1305@openssh.com",
        "Ciphers aes128-ctr",
    ],
)
async def test_all_comes_back_as_it_was_said_on_several_channels_at_once(
    sshd: PrivateSshd, mirror: str, setting: str, own_keys_after: int
) -> None:
    said = [random.Random(number).randbytes(3 * MIB + number) for number in range(3)]
    with set_so(sshd, setting):
        async with connected(sshd) as connection, asyncio.timeout(120):
            if own_keys_after:
                connection._rekey_bytes = own_keys_after
            heard = await asyncio.gather(*(told(connection, mirror, data) for data in said))
    assert heard == said


async def test_what_is_changed_on_its_way_ends_the_connection_and_is_not_heard(
    sshd: PrivateSshd, mirror: str
) -> None:
    """S-SSH-1."""
    changed = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: bool) -> None:
        passed = 0
        while data := await reader.read(MIB):
            passed += len(data)
            if change and passed > MIB and not changed.is_set():
                changed.set()
                data = data[:-5] + bytes((data[-5] ^ 1,)) + data[-4:]
            writer.write(data)
            await writer.drain()

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", sshd.port)
        tasks.append(asyncio.create_task(pass_on(there, writer, change=True)))
        try:
            await pass_on(reader, back, change=False)
        finally:
            writer.close()
            back.close()

    said = random.Random(9).randbytes(4 * MIB)
    async with await asyncio.start_server(come, "127.0.0.1") as between:
        async with connected(sshd, between.sockets[0].getsockname()[1]) as connection, asyncio.timeout(60):
            reader, writer = await connection.open_unix_connection(mirror, encoding=None)
            writer.write(said)
            heard = bytearray()
            with pytest.raises(BROKEN):
                await _hear(reader, heard)
        await asyncio.gather(*tasks, return_exceptions=True)
    assert changed.is_set()
    assert said.startswith(heard)


async def _hear(reader: "asyncssh.SSHReader[bytes]", heard: bytearray) -> None:
    while data := await reader.read(MIB):
        heard += data
