"""StatsService: how one host is, and how it was."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from oms.contract.operation import HostOperation, Permission, Service, operation

SERVICE = Service(
    "statsservices",
    "StatsService",
    "What a host's processors, memory, file systems and network do, measured all the time by its agent.",
)
MONTH_SECONDS = 31 * 86_400

StatName = Annotated[
    Literal["cpu", "cpu_load", "memory", "df", "uptime", "kernel", "network", "bandwidth", "swap", "iowait"],
    Meta(
        description="a statistic: cpu (or cpu_load), memory, df, uptime, kernel (with osrelease), network, "
        "bandwidth, swap or iowait",
        examples=["cpu"],
    ),
]

SeriesName = Annotated[
    Literal["cpu", "iowait", "memory", "swap", "df", "received", "sent", "load"],
    Meta(
        description="a figure that is remembered: cpu, iowait, memory, swap, df, received, sent or load",
        examples=["cpu"],
    ),
]

Back = Annotated[
    int,
    Meta(
        ge=1,
        le=MONTH_SECONDS,
        description=f"how far back, in seconds, 1 to {MONTH_SECONDS} (31 days)",
        examples=[3600],
    ),
]

Resolution = Annotated[
    Literal["auto", "1s", "1m", "15m"],
    Meta(
        description="how fine: `1s` (10 minutes back), `1m` (a day), `15m` (31 days), or `auto`: the finest that "
        "reaches so far back",
        examples=["auto"],
    ),
]


class HostCpu(msgspec.Struct, frozen=True):
    """How busy all CPUs together were over the last five seconds, waiting for disks not counted; and the first
    CPU's cache, type and clock (MHz)."""

    percentage: str
    cpu_cache: str
    cpu_type: str
    cpu_mhz: str


class HostMount(msgspec.Struct, frozen=True):
    """A file system. KB; `free` is what may still be used without being root."""

    mount: str
    used: str
    dev: str
    free: str


class HostDf(msgspec.Struct, frozen=True):
    """All file systems on the host's own disks, together and each. KB; the percentage is that of the command df:
    `used` of what is used and free."""

    percentage: str
    total: str
    used: str
    details: list[HostMount]


class HostMemory(msgspec.Struct, frozen=True):
    """KB; used is what could not be given away at once."""

    percentage: str
    total: str
    used: str


class HostNetwork(msgspec.Struct, frozen=True):
    """The device of the default route (a bridge, where the uplink is in one), and its address."""

    ip: str
    name: str


class HostBandwidth(msgspec.Struct, frozen=True):
    """That device's traffic over the last five seconds, in bytes per second; `maximum` is its speed (0: it does
    not say), the percentage that of the busier direction."""

    percentage: str
    received: int
    maximum: int
    sent: int


class HostSwap(msgspec.Struct, frozen=True):
    """KB, of all swap spaces; `path` names them, with commas between."""

    path: str
    percentage: str
    total: str
    used: str


class HostIowait(msgspec.Struct, frozen=True):
    """How much of the CPUs' time went into waiting for disks, over the last five seconds."""

    percentage: str


class HostStats(msgspec.Struct, frozen=True, omit_defaults=True):
    """The statistics asked for. Percentages have two decimals; `uptime` is in seconds."""

    cpu: HostCpu | UnsetType = UNSET
    df: HostDf | UnsetType = UNSET
    kernel: str | UnsetType = UNSET
    memory: HostMemory | UnsetType = UNSET
    network: HostNetwork | UnsetType = UNSET
    uptime: str | UnsetType = UNSET
    bandwidth: HostBandwidth | UnsetType = UNSET
    osrelease: str | UnsetType = UNSET
    swap: HostSwap | UnsetType = UNSET
    iowait: HostIowait | UnsetType = UNSET


class HostSeries(msgspec.Struct, frozen=True):
    """One figure over time: for each step its average and its highest value, null where nothing was measured.

    `unit` is `percent`, `KB`, `bytes/s` or `processes` (that are running or want to).
    """

    unit: str
    average: list[float | None]
    highest: list[float | None]


class HostHistory(msgspec.Struct, frozen=True):
    """What was measured from `begin` on (RFC 3339), a value for every `step_seconds`."""

    begin: str
    step_seconds: int
    series: dict[str, HostSeries]


@operation(SERVICE, Permission.VIEWER, varargs=True)
class GetStats(HostOperation[HostStats], frozen=True):
    """How a host is now: the statistics that are named, or all."""

    stats_argument: tuple[StatName, ...] = ()


@operation(SERVICE, Permission.VIEWER, varargs=True)
class GetHistory(HostOperation[HostHistory], frozen=True):
    """How a host was: the series that are named, or all.

    Kept on the host: seconds for ten minutes, minutes for a day, quarters of an hour for 31 days. Minutes and
    quarters outlive the agent and the host.
    """

    seconds: Back
    resolution: Resolution
    series_argument: tuple[SeriesName, ...] = ()
