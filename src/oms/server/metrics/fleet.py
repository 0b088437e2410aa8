"""The fleet as Prometheus's families of metrics. Pure: from what is known at one moment, no I/O.

Names follow Prometheus's conventions: base units (seconds, bytes), `_total` for what only grows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from oms import __version__
from oms.contract.internal import Figures
from oms.server.store.hosts import Host

KIB = 1024


class Sight(msgspec.Struct, frozen=True):
    """The fleet at one moment: signed hosts, the ids of those that are connected, the fresh figures by id, how
    many hosts wait to be signed, and how many jobs there are in each state that is no end."""

    hosts: tuple[Host, ...]
    connected: frozenset[str]
    figures: Mapping[str, Figures]
    requests: int
    jobs: Mapping[str, int]
    bus_connected: bool


class Everything(Collector):
    """OMS's own counters, and the fleet after them."""

    def __init__(self, own: Collector, sight: Sight) -> None:
        self._own, self._sight = own, sight

    def collect(self) -> Iterator[Metric]:
        """Prometheus's way of asking."""
        yield from self._own.collect()
        yield InfoMetricFamily("oms_build", "This OMS.", {"version": __version__})
        yield from _server(self._sight)
        yield from _hosts(self._sight)
        known = [(host.name, self._sight.figures[host.id]) for host in _known(self._sight)]
        yield from _single(known)
        yield _cpu_seconds(known)
        yield from _network(known)
        yield from _file_systems(known)
        yield _guests(known)


Known = list[tuple[str, Figures]]


def _known(sight: Sight) -> Iterator[Host]:
    return (host for host in sight.hosts if host.id in sight.figures)


def _server(sight: Sight) -> Iterator[Metric]:
    connected = sum(host.id in sight.connected for host in sight.hosts)
    yield _gauge(
        "oms_hosts",
        "Signed hosts, by whether their agents are connected.",
        ("state",),
        ((("connected",), connected), (("away",), len(sight.hosts) - connected)),
    )
    yield GaugeMetricFamily("oms_host_requests", "Hosts that wait to be signed.", sight.requests)
    yield _gauge(
        "oms_jobs", "Jobs that have not ended.", ("state",), (((state,), n) for state, n in sight.jobs.items())
    )
    yield GaugeMetricFamily("oms_bus_connected", "Whether OMS is connected to its bus.", int(sight.bus_connected))


def _hosts(sight: Sight) -> Iterator[Metric]:
    told: tuple[tuple[str, str, Callable[[Host], float]], ...] = (
        ("up", "Whether the host's agent is connected.", lambda host: int(host.id in sight.connected)),
        (
            "certificate_expiry_timestamp_seconds",
            "When the host's certificate ends, if it is not renewed.",
            lambda host: host.not_after,
        ),
        ("last_seen_timestamp_seconds", "When the host was heard of last.", lambda host: host.last_seen),
    )
    for name, words, value in told:
        yield _gauge(f"oms_host_{name}", words, ("host",), (((host.name,), value(host)) for host in sight.hosts))


SINGLE: tuple[tuple[str, str, Callable[[Figures], float]], ...] = (
    ("cpus", "CPUs of the host.", lambda it: it.cpus),
    ("load1", "Processes that run or want to, averaged over a minute.", lambda it: it.load),
    ("uptime_seconds", "Since the host was started.", lambda it: it.uptime_seconds),
    ("memory_size_bytes", "Memory of the host.", lambda it: it.memory_kb * KIB),
    (
        "memory_available_bytes",
        "Memory that could be had at once.",
        lambda it: it.memory_available_kb * KIB,
    ),
    ("swap_size_bytes", "Swap space of the host.", lambda it: it.swap_kb * KIB),
    ("swap_free_bytes", "Swap space that is not used.", lambda it: it.swap_free_kb * KIB),
)


def _single(known: Known) -> Iterator[Metric]:
    for name, words, value in SINGLE:
        yield _gauge(f"oms_host_{name}", words, ("host",), (((host,), value(it)) for host, it in known))


def _cpu_seconds(known: Known) -> Metric:
    family = CounterMetricFamily(
        "oms_host_cpu_seconds", "What the host's CPUs spent their time on.", labels=("host", "mode")
    )
    for host, it in known:
        for mode, seconds in it.cpu_seconds.items():
            family.add_metric((host, mode), seconds)
    return family


def _network(known: Known) -> Iterator[Metric]:
    with_device = [(host, it) for host, it in known if it.device]
    for name, words, field in (
        ("receive", "Bytes that came through the host's uplink.", "received_bytes"),
        ("transmit", "Bytes that left through the host's uplink.", "sent_bytes"),
    ):
        family = CounterMetricFamily(f"oms_host_network_{name}_bytes", words, labels=("host", "device"))
        for host, it in with_device:
            family.add_metric((host, it.device), getattr(it, field))
        yield family
    yield _gauge(
        "oms_host_network_speed_bytes",
        "Bytes per second that the host's uplink can carry; 0: it does not say.",
        ("host", "device"),
        (((host, it.device), it.bytes_per_second) for host, it in with_device),
    )


def _file_systems(known: Known) -> Iterator[Metric]:
    """A host that tells of one twice, as only a broken one does, must not spoil the whole answer."""
    every = {
        (host, system.device, system.mount): system for host, it in known for system in it.file_systems
    }  # the last word of each
    for name, words, field in (
        ("size", "Size of a file system on the host's own disks.", "size_kb"),
        ("used", "What is used of it.", "used_kb"),
        ("avail", "What may be used of it without being root.", "free_kb"),
    ):
        yield _gauge(
            f"oms_host_filesystem_{name}_bytes",
            words,
            ("host", "device", "mountpoint"),
            ((labels, getattr(system, field) * KIB) for labels, system in every.items()),
        )


def _guests(known: Known) -> Metric:
    return _gauge(
        "oms_host_guests",
        "Guests of the host.",
        ("host", "hypervisor", "state"),
        (
            ((host, hypervisor, state), count)
            for host, it in known
            for hypervisor, guests in it.guests.items()
            for state, count in (
                ("running", guests.running),
                ("not_running", max(0, guests.total - guests.running)),
            )
        ),
    )


def _gauge(
    name: str, words: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family
