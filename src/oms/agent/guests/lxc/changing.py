"""Settings of a container changed: in its file and in its own files, and, where it runs, at once.

What can fail is done first, and the configuration file, which is replaced in one step, last.
"""

import asyncio
from pathlib import Path

from oms import durable
from oms.agent.guests.containers import ContainerChange, changed
from oms.agent.guests.lxc import cgroups, config, disks, images, making, network, programs
from oms.agent.guests.lxc.looking import CONFIG, Looking, Seen
from oms.agent.guests.system_files import set_hostname, set_password, set_resolver
from oms.agent.host.foreign_root import Unfit
from oms.agent.host.process import run
from oms.contract.errors import FuncManError

SECONDS = 15.0


class Changing:
    """Changes the containers of one of LXC's paths."""

    def __init__(self, path: Path, looking: Looking, online: tuple[int, ...]) -> None:
        self._path, self._looking, self._online = path, looking, online

    async def configure(self, seen: Seen, change: ContainerChange) -> None:
        """As `Containers.configure` says."""
        refuse_what_cannot_be(seen, change)
        await images.mount(self._path / seen.ctid)
        if change.disk_kb is not None and seen.config.rootfs is not None:
            await disks.hold(seen.config.rootfs, change.disk_kb, runs=seen.runs)
        try:
            await asyncio.to_thread(_change_files, seen, change)
        except (Unfit, OSError) as error:
            what = error.strerror if isinstance(error, OSError) else str(error)
            raise FuncManError(
                f"The files of container {seen.ctid} cannot be changed: {what}", container=seen.ctid
            ) from error
        await asyncio.to_thread(self._write, seen, self._lines(seen, change), change.disk_kb)

    async def set_live(self, seen: Seen, change: ContainerChange) -> dict[str, str]:
        """As `Containers.set_live` says."""
        now = changed(seen.config.settings, change)
        waits: dict[str, str] = {}
        if change.memory_kb is not None or change.swap_kb is not None:
            why = await asyncio.to_thread(cgroups.set_memory, seen.groups, now.memory_kb, now.swap_kb)
            waits |= {"memory_kb" if change.memory_kb is not None else "swap_kb": why}
        if change.vcpus is not None:
            cpus = config.cpus_for(seen.ctid, now.vcpus, self._online) if now.vcpus else ()
            waits["vcpus"] = await asyncio.to_thread(cgroups.set_cpus, seen.groups, cpus, self._online)
        if change.vcpulimit is not None:
            waits["vcpulimit"] = await asyncio.to_thread(cgroups.set_vcpulimit, seen.groups, now.vcpulimit)
        if change.addresses is not None:
            waits["addresses"] = await _set_addresses(seen, change.addresses)
        if change.hostname is not None and seen.process is not None:
            waits["hostname"] = await programs.set_hostname(seen.process.pid, now.hostname)
        return {name: why for name, why in waits.items() if why}

    def set_uplink(self, seen: Seen) -> None:
        """See that the host answers for a routed container's addresses where it is on a network itself, before a
        start: which interface that is may have changed. In a thread."""
        if seen.config.ours and seen.config.network.kind == "routed":
            self._write(seen, network.host_lines(network.uplink(), network.pair_for(seen.ctid)), None)

    def _lines(self, seen: Seen, change: ContainerChange) -> config.Values:
        before = seen.config.settings
        now = changed(before, change)
        limits = making.limits(now, seen.ctid, self._online, swap=cgroups.swap_is_counted())
        keys: set[str] = set()
        lines: dict[str, list[str]] = {}
        if change.memory_kb is not None or change.swap_kb is not None:
            keys |= {*config.MEMORY, *config.SWAP}
        if change.vcpus is not None:
            keys |= {*config.CPUS}
        if change.vcpulimit is not None:
            keys |= {*config.QUOTA}
        lines |= {key: list(values) for key, values in limits.items() if key in keys}
        if change.hostname is not None:
            lines["lxc.uts.name"] = [now.hostname or seen.ctid]
        if change.onboot is not None:
            lines["lxc.start.auto"] = ["1" if now.onboot else "0"]
        if change.addresses is not None:
            lines |= network.address_lines(seen.config.network, now.addresses)
        return lines

    def _write(self, seen: Seen, lines: config.Values, disk_kb: int | None) -> None:
        """In a thread: the file is only touched where something in it is other."""
        before = self._looking.text(seen.ctid)
        after = config.edited(before, lines) if lines else before
        if disk_kb is not None:
            after = config.marked(after, config.DISK, str(disk_kb) if disk_kb else "")
        if after != before:
            file = self._path / seen.ctid / CONFIG
            durable.write_whole(file, after.encode(errors="surrogateescape"), file.stat().st_mode & 0o777)


def refuse_what_cannot_be(seen: Seen, change: ContainerChange) -> None:
    """Raises FuncManError, before anything is changed."""
    in_files = (change.password, change.nameservers, change.searchdomains)
    if seen.config.rootfs is None and any(value is not None for value in in_files):
        raise FuncManError(
            f"The files of container {seen.ctid} are on storage that cannot be seen from outside, so password and "
            "name servers are to be changed in it",
            container=seen.ctid,
        )
    if change.addresses and seen.config.network.kind not in {"routed", "bridge"}:
        raise FuncManError(
            f"Container {seen.ctid} has no interface whose addresses could be set: its network is "
            f"{seen.config.network.kind}",
            container=seen.ctid,
        )
    ipv6 = any(":" in address for address in change.addresses or ())
    if ipv6 and seen.config.network.kind == "routed" and not network.forwards(6, "all"):
        raise FuncManError(
            "This host passes no IPv6 packets on, so no container can have such an address; "
            "sysctl net.ipv6.conf.all.forwarding=1 changes that",
            container=seen.ctid,
        )


def _change_files(seen: Seen, change: ContainerChange) -> None:
    """In a thread. Raises Unfit, OSError."""
    rootfs, ids = seen.config.rootfs, seen.config.ids
    if rootfs is None:
        return
    if change.password is not None:
        set_password(rootfs, ids, change.password)
    if change.nameservers is not None or change.searchdomains is not None:
        set_resolver(rootfs, ids, change.nameservers, change.searchdomains)
    if change.hostname:
        set_hostname(rootfs, ids, change.hostname)


async def _set_addresses(seen: Seen, wanted: tuple[str, ...]) -> str:
    """Why a running container has not these addresses, or ""."""
    if seen.process is None or seen.config.network.kind not in {"routed", "bridge"}:
        return "its network cannot be changed from outside"
    pid = seen.process.pid
    now, plain = network.addresses_of(pid), {address.partition("/")[0]: address for address in wanted}
    gone = [address for address in now if address not in plain]
    come = [address for part, address in plain.items() if part not in now]
    why = ""
    for step in network.change(seen.config.network, pid, seen.config.pair, gone, come):
        done = await run(step, timeout=SECONDS)
        why = done.words if done.exit and not why else why
    return "" if set(network.addresses_of(pid)) == set(plain) else why or "the kernel did not take them"
