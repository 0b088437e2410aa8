"""Containers made of a template, beside the plain programs that unpack and copy the same Debian, each synced."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import Goal, pairs, say
from bench.setting import Setting
from tests.hosts import rootfs as systems
from tests.hosts.lxc_path import lxc_path, why_not

ROUNDS = 3
HOST, TEMPLATE, CTID = "containers2", "debian", "900"


def rootfs(on: Setting) -> None:
    """The Debian of the tests, 200 MB in 8000 files or so, packed by gzip."""
    if reason := why_not():
        print(f"container templates are left out: {reason}")
        return
    with lxc_path() as path:
        storage = on.oms.join(HOST, containers="lxc", lxc_path=str(path))
        packed = storage / "rootfs" / f"{TEMPLATE}.tar.gz"
        shutil.copy(systems.debian(), packed)
        _ovz(on, "parse_template_for_vm", TEMPLATE, "deb")
        beside, source = path / ".beside", path / ".source"
        options = ["--numeric-owner", "--xattrs", "--acls", "-xpf", str(packed)]
        _timed(source, "tar", "-C", str(source), *options)
        found = pairs(lambda: _deployed(on), lambda: _beside(beside, "tar", "-C", str(beside), *options), ROUNDS)
        say("deploy_template_for_vm of a container / tar -x", found, Goal("<=", 1.25), "s")
        copy = ["cp", "-a", "--reflink=auto", "-T", str(source), str(beside)]
        found = pairs(lambda: _deployed(on), lambda: _beside(beside, *copy), ROUNDS)
        say("deploy_template_for_vm of a container / cp -a", found, None, "s")


def _ovz(on: Setting, method: str, *params: object) -> object:
    on.caller.close()  # the server ends connections that were idle for long
    return on.caller.call("ovzservices", method, on.caller.sessid, 0, HOST, *params)


def _deployed(on: Setting) -> float:
    took = _took(lambda: _ovz(on, "deploy_template_for_vm", TEMPLATE, "deb", {"vm_id": CTID}))
    _ovz(on, "delete_vm", CTID)
    return took


def _beside(target: Path, *command: str) -> float:
    took = _timed(target, *command)
    shutil.rmtree(target)
    return took


def _timed(target: Path, *command: str) -> float:
    """Seconds that a program takes to fill a directory, and for having it on the disk."""
    target.mkdir()

    def work() -> None:
        subprocess.run(command, check=True)
        subprocess.run(["sync", "--file-system", target], check=True)

    return _took(work)


def _took(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
