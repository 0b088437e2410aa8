"""Bytes through OMS to a machine's screen: its relay beside websockify, and the whole way beside `ssh -L`."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt
import psutil

from bench import bulk
from bench.bulk import PlainWay, Way
from bench.figures import Goal, Pairs, pairs, say
from bench.setting import Setting
from tests.free_port import free_port
from tests.hosts.browser_socket import ask_ticket
from tests.hosts.guests import domain_xml
from tests.hosts.impostor import screen_socket
from tests.hosts.raw_socket import RawSocket
from tests.hosts.sshd import PrivateSshd
from tests.waiting import listens, until

WEBSOCKIFY = "websockify==0.13.0"
BYTES = 50_000_000
HOST, MACHINE = "relayed", "relayed"
SCREEN = "<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>"
CIPHER = "aes128-gcm@openssh.com"
"""Which OMS takes where the server has it."""
Between = tuple[Way, int]
"""A way through something, and the process that is that, its children included."""


def relays(on: Setting) -> None:
    """Both; and, beside `ssh -L` too, what a browser's TLS alone costs there."""
    with _relay(on) as ours, _websockify(on) as theirs:
        _beside("the relay / websockify with TLS", ours, theirs, throughput=1.0, round_trip=1.5)
    with _whole_way(on) as (ours, theirs, best):
        _beside("browser to machine / ssh -L", ours, theirs, throughput=0.9, round_trip=None)
        _beside("the relay before ssh -L / ssh -L", best, theirs, throughput=None, round_trip=None)


def _beside(
    title: str, ours: Between, theirs: Between, *, throughput: float | None, round_trip: float | None
) -> None:
    for name, measure in (("down", bulk.down), ("up", bulk.up)):
        used: Pairs = Pairs([], [])
        found = pairs(lambda: _used(ours, measure, used.ours), lambda: _used(theirs, measure, used.theirs))  # noqa: B023
        say(f"{title}: {name}", found, Goal(">=", throughput) if throughput else None, "MB/s")
        say("  CPU time of 100 MB in it", used, None, "ms")
    found = pairs(lambda: bulk.round_trip_ms(ours[0]), lambda: bulk.round_trip_ms(theirs[0]))
    say(f"{title}: 64 bytes and back", found, Goal("<=", round_trip) if round_trip else None, "ms")


def _used(between: Between, measure: Callable[[Way, int], float], used: list[float]) -> float:
    way, pid = between
    before = _cpu_ms(pid)
    rate = measure(way, BYTES)
    used.append((_cpu_ms(pid) - before) * 1e8 / BYTES)
    return rate


def _cpu_ms(pid: int) -> float:
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(float(one.user + one.system) for one in times) * 1000


@contextmanager
def _relay(on: Setting) -> Iterator[Between]:
    """OMS's relay as a process, before a socket of this machine."""
    port, target = free_port(), free_port()
    tls = on.oms.directory / "server" / "tls"
    words = (str(port), str(target), str(tls / "web.crt"), str(tls / "web.key"))
    with bulk.serving(str(target)), _process(sys.executable, "-m", "bench.relay", *words) as pid:
        yield _through(port), pid


@contextmanager
def _websockify(on: Setting) -> Iterator[Between]:
    """The same by websockify, out of PyPI."""
    port, target = free_port(), free_port()
    tls = on.oms.directory / "server" / "tls"
    uvx = str(Path(sys.executable).with_name("uvx"))
    words = ("--cert", str(tls / "web.crt"), "--key", str(tls / "web.key"))
    with (
        bulk.serving(str(target)),
        _process(uvx, "-q", WEBSOCKIFY, *words, f"127.0.0.1:{port}", f"127.0.0.1:{target}") as pid,
    ):
        yield _through(port), pid


@contextmanager
def _whole_way(on: Setting) -> Iterator[tuple[Between, Between, Between]]:
    """WebSocket, OMS, SSH, the socket of a machine's screen; `ssh -L` to the same through the same sshd; and OMS's
    relay before that, which is as quick as any server that speaks TLS to a browser could be."""
    with PrivateSshd(on.directory / "relayed-sshd", on.daemon) as sshd, _machine(on) as machine:
        on.oms.join(HOST, **sshd.agent_settings)
        place = screen_socket(on.daemon, machine)
        place.rename(place.with_name("kept"))
        with bulk.serving(str(place)), _ssh(on, sshd, machine) as theirs, _before_ssh(on, sshd, machine) as best:
            origin = f"https://127.0.0.1:{on.oms.port}"
            caller = on.caller
            console = caller.call("consoleservices", "open_console", caller.sessid, 0, HOST, "vnc", MACHINE)
            wanted = {"console": console["id"]}
            _, given = ask_ticket(on.oms.port, caller.sessid, wanted, path="/console/ticket", origin=origin)
            way = RawSocket(on.oms.port, f"/console/ws?ticket={given['ticket']}", origin)
            yield (way, on.oms.pid("server")), theirs, best
            way.close()
            caller.call("consoleservices", "close_console", caller.sessid, 0, console["id"])


@contextmanager
def _machine(on: Setting) -> Iterator[libvirt.virDomain]:
    console = on.directory / "relayed.console"
    xml = domain_xml(MACHINE, memory_mb=16, vcpu=1, console=console, disk=None, image=None, devices=SCREEN)
    made = on.bare.defineXML(xml)
    made.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    yield made
    made.destroy()
    made.undefine()


@contextmanager
def _ssh(on: Setting, sshd: PrivateSshd, machine: libvirt.virDomain) -> Iterator[Between]:
    here = on.directory / "relayed.sock"
    with _forwarded(on, sshd, machine, str(here)) as pid:
        _wait(here.exists)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(here))
            yield PlainWay(sock), pid


@contextmanager
def _before_ssh(on: Setting, sshd: PrivateSshd, machine: libvirt.virDomain) -> Iterator[Between]:
    port, between = free_port(), free_port()
    tls = on.oms.directory / "server" / "tls"
    words = (str(port), str(between), str(tls / "web.crt"), str(tls / "web.key"))
    with (
        _forwarded(on, sshd, machine, str(between)),
        _process(sys.executable, "-m", "bench.relay", *words) as pid,
    ):
        _wait(lambda: listens(between))
        way = _through(port)
        yield way, pid
        way.close()


@contextmanager
def _forwarded(on: Setting, sshd: PrivateSshd, machine: libvirt.virDomain, here: str) -> Iterator[int]:
    """`here` is a port or a path of this machine's."""
    key = on.directory / f"{Path(here).stem}-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with sshd.keys.open("a") as keys:
        keys.write(key.with_suffix(".pub").read_text())
    there = str(screen_socket(on.daemon, machine)).partition("/root")[2]
    options = [f"-o{option}" for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")]
    words = ("-q", "-N", *options, "-c", CIPHER, "-i", str(key), "-p", str(sshd.port))
    with _process("ssh", *words, "-L", f"{here}:{there}", "root@127.0.0.1") as pid:
        yield pid


@contextmanager
def _process(*words: str) -> Iterator[int]:
    started = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield started.pid
    finally:
        started.terminate()
        started.wait()


def _through(port: int) -> RawSocket:
    _wait(lambda: listens(port))
    return RawSocket(port, "/", f"https://127.0.0.1:{port}")


def _wait(true: Callable[[], bool]) -> None:
    until(true, "what is measured beside OMS did not start", 120)
