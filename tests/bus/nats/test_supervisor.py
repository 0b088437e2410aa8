"""OMS keeps a nats-server running, and the nats-server outlives OMS."""

import asyncio
import os
import signal
import socket
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oms.bus.nats.config import BusConfig, render
from oms.bus.nats.nkey import Issuer
from oms.bus.nats.supervisor import (
    Supervisor,
    SupervisorError,
    check_version,
    find_binary,
    revision_of,
)
from tests.bus.nats.pki import Pki
from tests.free_port import free_port
from tests.waiting import eventually

Make = Callable[..., Supervisor]


@pytest.fixture
def config(tmp_path: Path) -> BusConfig:
    pki = Pki(tmp_path)
    return BusConfig(
        listen=f"127.0.0.1:{free_port()}",
        run_dir=tmp_path / "run",
        cert_file=pki.nats.cert,
        key_file=pki.nats.key,
        clients_ca_file=pki.clients_ca,
        issuer=Issuer.generate().public,
    )


@pytest.fixture
async def make(config: BusConfig) -> AsyncIterator[Make]:
    made: list[Supervisor] = []

    def make(binary: Path | None = None, **changes: object) -> Supervisor:
        one = Supervisor(render(replace(config, **changes)), config.run_dir, binary=binary)  # type: ignore[arg-type]
        made.append(one)
        return one

    yield make
    for one in made:
        await one.stop(keep=False)


def alive(pid: int | None) -> bool:
    assert pid is not None
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_nats_server_that_ends_is_started_again(make: Make) -> None:
    supervisor = make()
    await supervisor.start()
    for round_ in (1, 2):
        first = supervisor.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda first=first: supervisor.pid not in (None, first))  # type: ignore[misc]
        assert alive(supervisor.pid)
        assert not Path(f"/proc/{first}").exists()  # no zombie is left
        assert supervisor.restarts == round_


async def test_the_next_oms_adopts_it(make: Make) -> None:
    first = make()
    await first.start()
    pid = first.pid
    await first.stop(keep=True)
    assert alive(pid)
    second = make()
    await second.start()
    assert (second.pid, second.adopted) == (pid, True)
    os.kill(pid or 0, signal.SIGKILL)
    await eventually(lambda: second.pid not in (None, pid))  # watched although it was adopted
    await second.stop(keep=False)
    assert second.pid is None


async def test_it_survives_the_death_of_oms(make: Make, config: BusConfig, tmp_path: Path) -> None:
    program = tmp_path / "first_oms.py"
    program.write_text(
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from oms.bus.nats.supervisor import Supervisor\n"
        "async def main():\n"
        "    one = Supervisor(Path(sys.argv[1]).read_text(), Path(sys.argv[2]))\n"
        "    await one.start()\n"
        "    print(one.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    text = tmp_path / "text"
    text.write_text(render(config))
    oms = await asyncio.create_subprocess_exec(
        sys.executable, program, text, config.run_dir, stdout=asyncio.subprocess.PIPE
    )
    assert oms.stdout is not None
    said = await asyncio.wait_for(oms.stdout.readline(), 60)
    while not said.strip().isdigit():
        assert said, "the first OMS ended without a word"
        said = await asyncio.wait_for(oms.stdout.readline(), 60)
    oms.kill()
    await oms.wait()
    pid = int(said)
    assert alive(pid)
    assert os.getsid(pid) == pid  # Ctrl-C in OMS's terminal does not reach it
    second = make()
    await second.start()
    assert (second.pid, second.adopted) == (pid, True)


async def test_another_configuration_replaces_it(make: Make) -> None:
    first = make()
    await first.start()
    pid = first.pid
    await first.stop(keep=True)
    second = make(revision="new certificates")
    await second.start()
    assert not second.adopted
    assert second.pid != pid
    assert not alive(pid)


@pytest.mark.parametrize("more", [b"", b"another"])
async def test_another_program_replaces_it_and_the_same_from_an_upgrade_does_not(
    make: Make, tmp_path: Path, more: bytes
) -> None:
    first = make()
    await first.start()
    pid = first.pid
    await first.stop(keep=True)
    upgraded = tmp_path / "nats-server"
    upgraded.write_bytes(find_binary(None).read_bytes() + more)
    upgraded.chmod(0o755)
    second = make(binary=upgraded)
    await second.start()
    assert second.adopted is alive(pid) is (not more)


async def test_a_hung_one_is_ended_by_replace(make: Make) -> None:
    supervisor = make()
    await supervisor.start()
    hung = supervisor.pid
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)
    await supervisor.replace()
    await eventually(lambda: supervisor.pid not in (None, hung))
    assert not alive(hung)


async def test_a_stale_process_number_kills_nobody(make: Make, config: BusConfig) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "30")
    config.run_dir.mkdir()
    (config.run_dir / "nats.pid").write_text(str(bystander.pid))
    (config.run_dir / "nats.conf").write_text("another")
    supervisor = make()
    await supervisor.start()
    assert not supervisor.adopted
    assert bystander.returncode is None
    assert alive(bystander.pid)
    bystander.kill()
    await bystander.wait()


async def test_one_oms_waits_in_a_folder_until_the_other_has_ended(make: Make) -> None:
    first, second = make(), make()
    await first.start()
    starting = asyncio.create_task(second.start())
    await asyncio.sleep(0.3)
    assert not starting.done()
    await first.stop(keep=True)
    await asyncio.wait_for(starting, 30)
    assert second.adopted


async def test_two_oms_do_not_share_a_folder(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.bus.nats.supervisor._PARTING_S", 0.3)
    first, second = make(), make()
    await first.start()
    with pytest.raises(SupervisorError, match="another OMS runs the bus"):
        await second.start()
    assert alive(first.pid)


async def test_a_port_in_use_is_named_and_nothing_that_an_earlier_one_said(make: Make, config: BusConfig) -> None:
    config.run_dir.mkdir(exist_ok=True)
    (config.run_dir / "nats.log").write_text("[1] 2026/11/26 15:03:13.960846 [ERR] An earlier one's trouble\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SupervisorError, match=r"in use.*set bus_listen to another address") as caught:
            await make(listen=f"127.0.0.1:{port}").start()
    assert str(caught.value).startswith("nats-server ended as soon as it was started: Error listening on port")
    assert "earlier" not in str(caught.value)


async def test_a_bad_configuration_is_named(config: BusConfig, tmp_path: Path) -> None:
    supervisor = Supervisor(render(replace(config, key_file=tmp_path / "missing.key")), config.run_dir)
    with pytest.raises(SupervisorError, match=r"missing\.key"):
        await supervisor.start()
    assert supervisor.pid is None


async def test_nothing_secret_stands_in_its_command_line_or_environment(
    make: Make, config: BusConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMS_MARKER", "secret-marker")
    supervisor = make()
    await supervisor.start()
    process = Path(f"/proc/{supervisor.pid}")
    argv = process.joinpath("cmdline").read_bytes().split(b"\0")
    assert argv[1:] == [b"-c", os.fsencode(config.run_dir / "nats.conf"), b""]
    assert process.joinpath("environ").read_bytes() == b""
    assert stat.S_IMODE(config.run_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((config.run_dir / "nats.conf").stat().st_mode) == 0o600


async def test_it_listens_on_one_port_and_on_no_monitoring_port(make: Make, config: BusConfig) -> None:
    supervisor = make()
    await supervisor.start()
    inodes = set()
    for fd in Path(f"/proc/{supervisor.pid}/fd").iterdir():
        try:
            inodes.add(str(fd.readlink()))
        except FileNotFoundError:
            continue
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                listening.add(int(fields[1].rpartition(":")[2], 16))
    assert listening == {int(config.listen.rpartition(":")[2])}


@pytest.mark.parametrize(
    ("says", "match"),
    [
        ("nats-server: v2.9.10", r"is nats-server 2\.9\.10; OMS needs 2\.14\.3 or later"),
        ("nats-server: v2.14.2", r"is nats-server 2\.14\.2"),
        ("gnatsd 1.4", "is no nats-server"),
    ],
)
async def test_an_old_or_strange_program_is_refused(make: Make, tmp_path: Path, says: str, match: str) -> None:
    fake = tmp_path / "fake"
    fake.write_text(f"#!/bin/sh\necho '{says}'\n")
    fake.chmod(0o755)
    with pytest.raises(SupervisorError, match=match):
        await make(binary=fake).start()


@pytest.mark.parametrize("version", ["2.14.3", "2.15.0", "3.0.0", "2.100.0-RC.1"])
def test_a_new_enough_version_is_taken(tmp_path: Path, version: str) -> None:
    fake = tmp_path / "fake"
    fake.write_text(f"#!/bin/sh\necho 'nats-server: v{version}'\n")
    fake.chmod(0o755)
    assert version.startswith(check_version(fake))


def test_a_setting_that_is_no_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match=r"nowhere, is not a program"):
        find_binary(tmp_path / "nowhere")


def test_the_revision_changes_with_the_certificates(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    before = revision_of(one, two)
    two.write_bytes(b"c")
    assert revision_of(one, two) != before
    two.write_bytes(b"b")
    assert revision_of(one, two) == before


async def test_one_that_was_left_is_ended_when_the_bus_is_elsewhere(make: Make, config: BusConfig) -> None:
    await make().retire()  # there is none
    first = make()
    await first.start()
    pid = first.pid
    await first.stop(keep=True)
    await Supervisor("", config.run_dir).retire()
    assert not alive(pid)


async def test_renewed_certificates_are_taken_up_without_a_restart(make: Make, config: BusConfig) -> None:
    supervisor = make()
    await supervisor.start()
    first, pid = shown(config), supervisor.pid
    (folder := config.run_dir.parent / "anew").mkdir()
    anew = Pki(folder)
    for old, new in ((config.cert_file, anew.nats.cert), (config.key_file, anew.nats.key)):
        old.write_bytes(new.read_bytes())
    supervisor.reload(render(replace(config, revision=revision_of(config.cert_file))))
    await eventually(lambda: shown(config) != first)
    assert (supervisor.pid, supervisor.restarts) == (pid, 0)
    await supervisor.stop(keep=True)
    adopting = make(revision=revision_of(config.cert_file))
    await adopting.start()
    assert adopting.adopted


def shown(config: BusConfig) -> str:
    """The certificate that callers of the bus are shown."""
    host, _, port = config.listen.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=30) as plain, context.wrap_socket(plain) as tls:
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")
