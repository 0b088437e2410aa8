"""The same statistics from this host's Zabbix agent, by its passive checks, where figures must be Zabbix's.

Of traffic its items tell what there was since the host's start, so that is asked twice, or reckoned from the call
before. Which device is the uplink, its address and its speed no item tells: these are the host's own.
"""

import asyncio
import math
import time
from collections.abc import Collection

import msgspec
from msgspec import UNSET

from oms.agent.host import hardware, mounts
from oms.agent.host.mounts import Mount, Usage
from oms.agent.host.uplink import Uplink
from oms.agent.stats import words
from oms.contract.errors import NoFuncZabbixClientError, ZabbixAgentNotSupportedError
from oms.contract.stats import (
    HostBandwidth,
    HostCpu,
    HostDf,
    HostIowait,
    HostMemory,
    HostNetwork,
    HostStats,
    HostSwap,
)

ITEM_SECONDS = 4.0
AT_ONCE = 3
"""A Zabbix agent has as many processes for questions, unless told otherwise."""
APART_SECONDS = 1.0
OLDEST_SECONDS = 60.0
"""Traffic is reckoned from the call before where that was so long ago at most."""
KIB = 1024


class _Counted(msgspec.Struct, frozen=True):
    at: float
    device: str
    received: float
    sent: float


class Zabbix:
    """One Zabbix agent."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._place = asyncio.Semaphore(AT_ONCE)
        self._counted: _Counted | None = None

    async def stats(self, names: Collection[str], uplink: Uplink) -> HostStats:
        """Those that are named. Raises NoFuncZabbixClientError where the agent does not answer, and
        ZabbixAgentNotSupportedError where it has no answer to one of them."""
        network = HostNetwork(ip=uplink.address, name=uplink.name)
        known = "kernel" in names
        return HostStats(
            cpu=await self._cpu() if "cpu" in names else UNSET,
            df=await self._df() if "df" in names else UNSET,
            kernel=(await self._text("system.uname")).split()[2] if known else UNSET,
            memory=await self._memory() if "memory" in names else UNSET,
            network=network if "network" in names else UNSET,
            uptime=str(int(await self._number("system.uptime"))) if "uptime" in names else UNSET,
            bandwidth=await self._bandwidth(uplink) if "bandwidth" in names else UNSET,
            osrelease=await self._release() if known else UNSET,
            swap=await self._swap() if "swap" in names else UNSET,
            iowait=HostIowait(words.percent(await self._number("system.cpu.util[,iowait]")))
            if "iowait" in names
            else UNSET,
        )

    async def _cpu(self) -> HostCpu:
        """Where the first CPU's lines are others, as on other machines than PCs, there is less to tell."""
        idle, waits, cache, model, mhz = await asyncio.gather(
            self._number("system.cpu.util[,idle]"),
            self._number("system.cpu.util[,iowait]"),
            self._text(_line("/proc/cpuinfo", r"^cache size\s*: (.*)")),
            self._text(_line("/proc/cpuinfo", r"^model name\s*: (.*)")),
            self._text(_line("/proc/cpuinfo", r"^cpu MHz\s*: (.*)")),
        )
        return HostCpu(words.percent(max(0.0, 100 - idle - waits)), cache or "0 KB", model, mhz or "0.000")

    async def _memory(self) -> HostMemory:
        total, available = await asyncio.gather(
            self._number("vm.memory.size[total]"), self._number("vm.memory.size[available]")
        )
        return words.memory(int(total) // KIB, int(available) // KIB)

    async def _swap(self) -> HostSwap:
        total, free, table = await asyncio.gather(
            self._number("system.swap.size[,total]"),
            self._number("system.swap.size[,free]"),
            self._text("vfs.file.contents[/proc/swaps]"),
        )
        return words.swap(hardware.swap_paths(table), int(total) // KIB, int(free) // KIB)

    async def _df(self) -> HostDf:
        there, kinds = await asyncio.gather(
            self._text("vfs.file.contents[/proc/self/mountinfo]"),
            self._text("vfs.file.contents[/proc/filesystems]"),
        )
        return words.df(await asyncio.gather(*(self._usage(mount) for mount in mounts.own(there, kinds))))

    async def _usage(self, mount: Mount) -> Usage:
        sizes = await asyncio.gather(
            *(self._number(f"vfs.fs.size[{_quoted(mount.point)},{what}]") for what in ("total", "used", "free"))
        )
        return Usage(mount, *(int(size) // KIB for size in sizes))

    async def _bandwidth(self, uplink: Uplink) -> HostBandwidth:
        if not uplink.name:
            return words.bandwidth(0, 0, 0)
        before = self._counted
        if before is None or before.device != uplink.name or time.monotonic() - before.at > OLDEST_SECONDS:
            before = await self._count(uplink.name)
        await asyncio.sleep(before.at + APART_SECONDS - time.monotonic())
        self._counted = now = await self._count(uplink.name)
        seconds = now.at - before.at
        received, sent = (now.received - before.received) / seconds, (now.sent - before.sent) / seconds
        return words.bandwidth(max(received, 0.0), max(sent, 0.0), uplink.bytes_per_second)

    async def _count(self, device: str) -> _Counted:
        received, sent = await asyncio.gather(
            self._number(f"net.if.in[{_quoted(device)}]"), self._number(f"net.if.out[{_quoted(device)}]")
        )
        return _Counted(time.monotonic(), device, received, sent)

    async def _release(self) -> str:
        name, version = await asyncio.gather(
            self._text(_line("/etc/os-release", r'^NAME="?([^"]*)"?$')),
            self._text(_line("/etc/os-release", r'^VERSION_ID="?([^"]*)"?$')),
        )
        return " ".join(filter(None, (name, version)))

    async def _number(self, item: str) -> float:
        text = await self._text(item)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ZabbixAgentNotSupportedError(
                f"The host's Zabbix agent answered {text[:80]!r} to its item {item}, which is no number.",
                item=item,
            )
        return value

    async def _text(self, item: str) -> str:
        """The value of an item. Raises as `stats` does."""
        answer = await self._ask(item)
        if answer.value is None:
            raise ZabbixAgentNotSupportedError(
                f"The host's Zabbix agent does not offer its item {item}: {answer.error or 'it says no more'}. "
                "Allow that item there, or have the host measured by OMS (the agent's setting `stats`).",
                item=item,
            )
        return answer.value

    async def _ask(self, item: str) -> "_Answer":
        import zabbix_utils

        try:
            async with self._place, asyncio.timeout(ITEM_SECONDS):
                told = await zabbix_utils.AsyncGetter(self._host, self._port).get(item)
        except (OSError, TimeoutError, EOFError, ValueError, zabbix_utils.ModuleBaseException) as why:
            raise NoFuncZabbixClientError(
                f"The host's Zabbix agent at {self._host}:{self._port} does not answer "
                f"({str(why) or 'not in time'}): see that it runs and lets this host ask (its setting `Server`), "
                "or have the host measured by OMS (the agent's setting `stats`).",
            ) from why
        return _Answer(told.value, told.error)


class _Answer(msgspec.Struct, frozen=True):
    value: str | None
    error: str | None


def _line(file: str, pattern: str) -> str:
    """The item that is the part in brackets of the first line which matches; empty where none does."""
    return f"vfs.file.regexp[{file},{_quoted(pattern)},,,,\\1]"


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '\\"') + '"'
