"""Machines made of templates and templates made of machines, beside the plain programs that copy and convert.

Ours are on the disk when they are answered, so what stands beside them is synced too.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Goal, pairs, say
from bench.setting import Setting
from tests.agent.templates.packages import MIB, appliance, ova, packed
from tests.hosts.kvm_machines import disk_xml, small_xml

DISK_MB = 1024
WRITTEN_MB = 512
ROUNDS = 5
TEMPLATE, MACHINE = "bench-template", "bench-deployed"
STREAM = ("-O", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic")


def templates(on: Setting) -> None:
    """A template with a disk of 1 GiB, half of it written."""
    with _disk(on.directory) as raw:
        _deploying(on, raw)
        _packing(on, raw)


def _deploying(on: Setting, raw: Path) -> None:
    made = appliance(packed("disk.raw", raw, "raw", size_mb=DISK_MB))
    ova(on.oms.templates / f"{TEMPLATE}.ova", made, {"disk.raw": raw}, manifest=False)
    _deployed(on)
    (unpacked,) = (on.oms.templates / ".unpacked").glob(f"{TEMPLATE}.*/disk1.qcow2")
    target = on.directory / "beside.qcow2"
    found = pairs(lambda: _deployed(on), lambda: _timed(target, "cp", "--reflink=auto", unpacked, target), ROUNDS)
    say("deploy_template_for_vm / cp, synced", found, Goal("<=", 1.15), "s")
    convert = ("qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", unpacked, target)
    found = pairs(lambda: _deployed(on), lambda: _timed(target, *convert), ROUNDS)
    say("deploy_template_for_vm / qemu-img convert, synced", found, Goal("<=", 1.15), "s")
    found = pairs(lambda: _deployed(on, clone="linked"), lambda: _timed(target, "true", target), ROUNDS)
    say("deploy_template_for_vm, linked", found, None, "s")
    on.caller.kvm("delete_template", TEMPLATE)


def _packing(on: Setting, raw: Path) -> None:
    domain = on.bare.defineXML(small_xml(MACHINE, devices=disk_xml(raw)))
    disk, beside = on.directory / "beside.vmdk", on.directory / "beside.ova"

    def ours() -> float:
        took = _took(lambda: on.caller.kvm("create_template_from_vm", MACHINE, TEMPLATE, {}))
        on.caller.kvm("delete_template", TEMPLATE)
        return took

    def theirs() -> float:
        took = _timed(disk, "qemu-img", "convert", "-f", "raw", *STREAM, raw, disk, keep=True)
        return took + _timed(beside, "tar", "-C", disk.parent, "-cf", beside, disk.name)

    found = pairs(ours, theirs, ROUNDS)
    say("create_template_from_vm / convert and tar, synced", found, Goal("<=", 1.15), "s")
    disk.unlink()
    domain.undefine()


def _deployed(on: Setting, **settings: str) -> float:
    on.caller.close()  # the server ends connections that were idle for long
    took = _took(lambda: on.caller.kvm("deploy_template_for_vm", TEMPLATE, MACHINE, settings))
    on.caller.kvm("delete_vm", MACHINE)
    return took


def _timed(target: Path, *command: str | Path, keep: bool = False) -> float:
    """Seconds that a program takes for a new file, and for having it on the disk."""
    target.unlink(missing_ok=True)

    def work() -> None:
        subprocess.run(command, check=True)
        subprocess.run(["sync", *([target] if target.exists() else [])], check=True)

    took = _took(work)
    if not keep:
        target.unlink(missing_ok=True)
    return took


def _took(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


@contextmanager
def _disk(directory: Path) -> Iterator[Path]:
    """A raw disk, its first half written with what compresses somewhat."""
    path = directory / "disk.raw"
    with path.open("wb") as file:
        for _ in range(WRITTEN_MB):
            file.write((os.urandom(2048) + bytes(2048)) * (MIB // 4096))
        file.truncate(DISK_MB * MIB)
    try:
        yield path
    finally:
        path.unlink()
