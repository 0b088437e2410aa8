"""Containers on hosts that are agents' processes, each with its own LXC and ids, and their moves over the wire."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oms.agent.guests.containers import ContainerSettings, NewContainer
from tests.hosts import lxc_path, net_host, rootfs
from tests.hosts.containers import lxc
from tests.hosts.net_host import Apart, Lan, Place
from tests.hosts.stack import Caller, CallFailed, Stack
from tests.hosts.trees import ids, seen, varied
from tests.waiting import until

IDS = {"node1": "100000:65536", "node2": "300000:65536", "node3": "none"}
"""Of their containers."""
SOON = 60.0
LARGE = 48 * 1024 * 1024


def settings_of(host: str, path: Path, address: str = "127.0.0.1") -> dict[str, str]:
    """The agent's settings of such a host, which others reach at that address."""
    return {
        "containers": "lxc",
        "lxc_path": str(path),
        "container_ids": IDS[host],
        "container_stop_seconds": "10",
        "migration_address": address,
        "migration_mb_per_second": "30",
    }


class Fleet:
    """Hosts that containers go between, node1 and node2, and others. `paths`: LXC's, by host."""

    def __init__(self, oms: Stack, paths: dict[str, Path]) -> None:
        self.oms, self.paths = oms, paths
        self.caller: Caller = oms.caller()

    def ovz(self, method: str, *params: Any, host: str = "node1") -> Any:
        return self.caller.call("ovzservices", method, self.caller.sessid, 0, host, *params)

    def made(self, ctid: str, *, bridge: str = "", large: bool = False, disk_kb: int = 0) -> dict[str, Any]:
        """A container on node1, off; what is in it."""
        return asyncio.run(self._made(ctid, bridge, large, disk_kb))

    async def _made(self, ctid: str, bridge: str, large: bool, disk_kb: int) -> dict[str, Any]:
        containers = await lxc(self.paths["node1"], IDS["node1"])
        mapped, job = containers.capabilities.ids, f"{int(ctid):032x}"
        place = await containers.prepare(job, 0)
        rootfs.tiny(place, mapped)
        (place / "data").mkdir()
        if large:
            (place / "data/large").write_bytes(os.urandom(LARGE))
        varied(place / "data", mapped)
        settings = ContainerSettings(hostname=f"ct{ctid}.example.org", memory_kb=64 * 1024, disk_kb=disk_kb)
        await containers.create(job, NewContainer(ctid, settings, bridge=bridge))
        await containers.discard(job)
        await containers.close()
        return self.content("node1", ctid)

    def content(self, host: str, ctid: str) -> dict[str, Any]:
        tree = self.paths[host] / ctid / "rootfs/data"
        return seen(tree, ids(tree.stat().st_uid))

    def where(self, ctid: str) -> dict[str, str]:
        """On which hosts it is, and how."""
        found = {}
        for host in self.paths:
            states = self.ovz("list_vms_status", host=host)
            if ctid in states:
                found[host] = states[ctid]["state"]
        return found

    def job(self) -> Any:
        """The newest job that moves a container."""
        return next(task for task in self.caller.task("list_tasks") if task["method"] == "ovzservices.migrate_vm")

    def until(self, true: Any, otherwise: str) -> None:
        until(true, lambda: f"{otherwise}: {self.oms.log('agent')} {self.oms.log('node2')}")


@contextlib.contextmanager
def apart(directory: Path, libvirt_uri: str, kind: type[Apart] = Apart, **more: str) -> Iterator[Fleet]:
    """Two hosts that share nothing but a wire: each has a network of its own, in which its agent listens and its
    containers run. `more`: settings of both."""
    if reason := net_host.why_not():
        pytest.skip(reason)
    with contextlib.ExitStack() as ends:
        lan = ends.enter_context(Lan())
        places = {"agent": ends.enter_context(Place(lan, 2)), "node2": ends.enter_context(Place(lan, 3))}
        paths, settings = {}, {}
        for host, place in zip(("node1", "node2"), places.values(), strict=True):
            paths[host] = ends.enter_context(lxc_path.lxc_path())
            ends.callback(lxc_path.end_all, paths[host], place.front())
            settings[host] = settings_of(host, paths[host], place.own) | more
        oms = ends.enter_context(kind(directory, libvirt_uri, places, **settings["node1"]))
        oms.join("node2", **settings["node2"])
        made = Fleet(oms, paths)
        ends.callback(made.caller.close)
        yield made


@contextlib.contextmanager
def moving(fleet: Fleet, ctid: str) -> Iterator["Future[str]"]:
    """A large container is on its way from node1 to node2, its first files have come. How that ends, in an error's
    words, or ""."""

    def move() -> str:
        with contextlib.closing(fleet.oms.caller()) as caller:
            try:
                caller.call("ovzservices", "migrate_vm", caller.sessid, 0, "node1", ctid, "node2")
            except CallFailed as failed:
                return str(failed.error["message"])
            return ""

    staging = fleet.paths["node2"] / ".staging"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(move)
        fleet.until(lambda: future.done() or any(staging.glob("*/rootfs/data/.large.*")), "nothing comes")
        assert not future.done(), future.result()
        yield future
