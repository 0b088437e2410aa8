"""A machine that runs, moved to another host, beside libvirt's own way between the same two without OMS."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt

from bench.figures import Goal, Pairs, pairs, say
from bench.setting import Setting
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.movers import Movers, movers

ROUNDS = 5
FILLED_MB = 64
NAME = "bench-moved"
DIRECTLY = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_AUTO_CONVERGE
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    | libvirt.VIR_MIGRATE_NON_SHARED_DISK
)


def moves(_on: Setting) -> None:
    """32 MB of memory and a disk of 80 MB, of which 64 are written; both hosts are this machine."""
    with _two_hosts() as both:
        caller = both.oms.caller()
        stood: Pairs = Pairs([], [])

        def ours() -> float:
            return _timed(both, stood.ours, lambda: both.move(caller, NAME))

        def theirs() -> float:
            return _timed(both, stood.theirs, lambda: _directly(both))

        say("migrate_vm / virDomainMigrateToURI3", pairs(ours, theirs, ROUNDS), Goal("<=", 2), "s")
        say("the same: it stands still", stood, None, "s")
        caller.close()


def _timed(both: Movers, stood: list[float], move: Callable[[], object]) -> float:
    both.clear()
    both.machine(NAME, filled_mb=FILLED_MB)
    with _watched(both) as seen:
        began = time.perf_counter()
        move()
        took = time.perf_counter() - began
    stood.append(seen["there"] - seen["here"])
    return took


@contextmanager
def _watched(both: Movers) -> Iterator[dict[str, float]]:
    """When it was last seen to run here, and first there."""
    seen: dict[str, float] = {}
    over = threading.Event()

    def look() -> None:
        here, there = both.here.libvirtd.connect(), both.there.libvirtd.connect()
        while "there" not in seen and not over.wait(0.002):
            if _runs(there):
                seen["there"] = time.perf_counter()
            elif _runs(here):
                seen["here"] = time.perf_counter()
        here.close()
        there.close()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
        both.wait(lambda: "there" in seen, "it does not go on there")
    finally:
        over.set()
        thread.join()


def _runs(virt: libvirt.virConnect) -> bool:
    return any(domain.name() == NAME for domain in virt.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING))


def _directly(both: Movers) -> None:
    """As virsh does it: a disk is made there first, and the one that stays is deleted."""
    domain = both.here.domain(NAME)
    assert domain is not None
    (source,) = both.here.images.glob("*.img")
    target = both.there.images / source.name
    subprocess.run(["qemu-img", "create", "-q", "-f", "raw", target, str(source.stat().st_size)], check=True)
    moved = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE)
    kept = domain.XMLDesc(
        libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE
    )
    domain.migrateToURI3(
        both.there.libvirtd.uri,
        {
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: moved.replace(str(source), str(target)),
            libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: kept.replace(str(source), str(target)),
            libvirt.VIR_MIGRATE_PARAM_URI: "tcp://127.0.0.1",
        },
        DIRECTLY,
    )
    source.unlink()


@contextmanager
def _two_hosts() -> Iterator[Movers]:
    """An OMS of its own, with two hosts."""
    with (
        tempfile.TemporaryDirectory(prefix="oms-bench-1-") as one,
        tempfile.TemporaryDirectory(prefix="oms-bench-2-") as two,
        PrivateLibvirtd(Path(one)) as here,
        PrivateLibvirtd(Path(two)) as there,
        movers(here, there) as both,
    ):
        yield both
