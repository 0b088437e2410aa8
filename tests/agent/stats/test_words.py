"""Measurements as they are told."""

import math

from msgspec import UNSET, to_builtins

from oms.agent.host.counters import Cpu, Reading
from oms.agent.host.hardware import Processor
from oms.agent.host.mounts import Mount, Usage
from oms.agent.host.uplink import Uplink
from oms.agent.stats import words
from oms.agent.stats.looks import Sight
from oms.agent.stats.rates import Rates
from oms.agent.stats.sampler import SERIES, Moment

NOW = Moment(
    Reading(1.0, 1.0, Cpu(1, 1, 1, 1, 1), 4096, 1024, 200, 150, 0.25, None),
    Rates(cpu=12.345, iowait=0.3, received=5447.4, sent=6619.0),
    Sight(
        Uplink("vmbr0", "192.0.2.1", 104_857_600),
        Processor("4096 KB", "Intel", "1596.040"),
        ("/dev/sda2", "/swap"),
        (
            Usage(Mount("/", "/dev/a"), 1000, 600, 300),
            Usage(Mount("/storage", "/dev/b"), 3000, 600, 2400),
        ),
    ),
)


def told(*names: str) -> dict[str, object]:
    stats = words.host_stats(NOW, words.wanted(names), uptime=855087.9, kernel="6.1", release="Debian 12")
    known: dict[str, object] = to_builtins(stats)
    return known


def test_every_statistic_is_told_as_the_document_does() -> None:
    assert told() == {
        "cpu": {"percentage": "12.35", "cpu_cache": "4096 KB", "cpu_type": "Intel", "cpu_mhz": "1596.040"},
        "df": {
            "percentage": "30.77",
            "total": "4000",
            "used": "1200",
            "details": [
                {"mount": "/", "used": "600", "dev": "/dev/a", "free": "300"},
                {"mount": "/storage", "used": "600", "dev": "/dev/b", "free": "2400"},
            ],
        },
        "kernel": "6.1",
        "memory": {"percentage": "75.00", "total": "4096", "used": "3072"},
        "network": {"ip": "192.0.2.1", "name": "vmbr0"},
        "uptime": "855087",
        "bandwidth": {"percentage": "0.01", "received": 5447, "maximum": 104857600, "sent": 6619},
        "osrelease": "Debian 12",
        "swap": {"path": "/dev/sda2,/swap", "percentage": "25.00", "total": "200", "used": "50"},
        "iowait": {"percentage": "0.30"},
    }


def test_only_what_is_named_is_told() -> None:
    assert list(told("cpu_load")) == list(told("cpu")) == ["cpu"]
    assert list(told("iowait", "kernel")) == ["kernel", "osrelease", "iowait"]


def test_what_is_not_known_is_0_and_divides_nothing() -> None:
    assert to_builtins(words.bandwidth(math.nan, math.nan, 0)) == {
        "percentage": "0.00", "received": 0, "maximum": 0, "sent": 0,
    }  # fmt: skip
    assert words.swap((), 0, 0).percentage == words.df(()).percentage == "0.00"


def test_a_history_has_a_place_for_every_step() -> None:
    figures = tuple(float(place) for place in range(len(SERIES)))
    past = words.history({120: (figures, figures)}, 60, 180, 60, ("memory",))
    assert (past.begin, past.step_seconds) == ("1970-01-01T00:01:00Z", 60)
    assert to_builtins(past.series) == {
        "memory": {"unit": "KB", "average": [None, 2.0, None], "highest": [None, 2.0, None]}
    }
    assert list(words.history({}, 60, 60, 60, ()).series) == list(SERIES)
    assert words.host_stats(NOW, (), uptime=0, kernel="", release="").cpu is UNSET
