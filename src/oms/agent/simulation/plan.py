"""What simulated hosts are like: the same for the same seed, whoever asks in whichever order. Pure."""

import uuid
from collections.abc import Iterator
from random import Random
from typing import Literal

import msgspec

from oms.agent.guests.fake import Rhythm, rhythm

Conduct = Literal["well", "slow", "hung", "flapping", "expired"]
ROLES = ("web", "app", "db", "mail", "build", "cache", "dns", "proxy", "shop", "test", "backup", "files")
DISTRIBUTIONS = (
    ("Debian GNU/Linux 12", "6.1.0-28-amd64"),
    ("Debian GNU/Linux 13", "6.12.6-amd64"),
    ("Ubuntu 24.04", "6.8.0-51-generic"),
    ("AlmaLinux 9.5", "5.14.0-503.el9.x86_64"),
)
MB = 1024
GB = 1024**2
"""In KB."""
MACHINES_OF_4 = 3
"""So many of four guests are machines, the rest containers."""
RUN = 0.85
BUSIEST_HOST, BUSIEST_GUEST = 0.7, 0.95


class Guest(msgspec.Struct, frozen=True):
    """A machine (`key` is its UUID) or a container (`key` is its number)."""

    key: str
    name: str
    vcpus: int
    memory_kb: int
    disk_kb: int
    address: str
    mac: str
    runs: bool
    rhythm: Rhythm


class Host(msgspec.Struct, frozen=True):
    """A host; its guests are made by `guests`, since many hosts of many guests are a lot."""

    number: int
    name: str
    conduct: Conduct
    cpus: int
    memory_kb: int
    disk_kb: int
    distribution: str
    kernel: str
    address: str
    rhythm: Rhythm


class Wanted(msgspec.Struct, frozen=True):
    """A fleet: how many hosts, guests on each, and how many hosts that do not do well."""

    hosts: int
    guests: int = 20
    slow: int = 0
    hung: int = 0
    flapping: int = 0
    expired: int = 0
    seed: int = 1
    prefix: str = "sim"

    @property
    def troubled(self) -> int:
        """How many do not do well."""
        return self.slow + self.hung + self.flapping + self.expired


def hosts(wanted: Wanted) -> Iterator[Host]:
    """All of them; those that do not do well come first."""
    bad: tuple[tuple[Conduct, int], ...] = (
        ("slow", wanted.slow), ("hung", wanted.hung), ("flapping", wanted.flapping), ("expired", wanted.expired),
    )  # fmt: skip
    conducts = [conduct for conduct, count in bad for _ in range(count)]
    for number in range(wanted.hosts):
        yield _host(wanted, number, conducts[number] if number < len(conducts) else "well")


def guests(wanted: Wanted, host: Host) -> tuple[list[Guest], list[Guest]]:
    """The machines and the containers of a host."""
    chance = Random(f"{wanted.seed} guests {host.number}")  # noqa: S311 - no secret
    machines: list[Guest] = []
    containers: list[Guest] = []
    for number in range(wanted.guests):
        guest = _guest(chance, host, number)
        if number % 4 < MACHINES_OF_4:
            machines.append(guest)
        else:
            containers.append(msgspec.structs.replace(guest, key=str(1000 + number)))
    return machines, containers


def _host(wanted: Wanted, number: int, conduct: Conduct) -> Host:
    chance = Random(f"{wanted.seed} host {number}")  # noqa: S311 - no secret
    cpus = chance.choice((16, 32, 48, 64, 96, 128))
    distribution, kernel = chance.choice(DISTRIBUTIONS)
    return Host(
        number=number,
        name=f"{wanted.prefix}-{number + 1:04}",
        conduct=conduct,
        cpus=cpus,
        memory_kb=cpus * chance.choice((4, 8)) * GB,
        disk_kb=chance.choice((2, 4, 8)) * 1024 * GB,
        distribution=distribution,
        kernel=kernel,
        address=f"10.{64 + number // 65536}.{number // 256 % 256}.{number % 256}",
        rhythm=rhythm.of(chance, BUSIEST_HOST),
    )


def _guest(chance: Random, host: Host, number: int) -> Guest:
    role = chance.choice(ROLES)
    octets = (chance.getrandbits(8) for _ in range(3))
    return Guest(
        key=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        name=f"{role}-{host.number + 1:04}-{number + 1:02}",
        vcpus=chance.choice((1, 1, 2, 2, 4, 8)),
        memory_kb=chance.choice((1, 2, 2, 4, 8, 16)) * GB,
        disk_kb=chance.choice((10, 20, 40, 80, 200)) * GB,
        address=f"10.{128 + host.number // 256 % 128}.{host.number % 256}.{1 + number % 254}",
        mac="52:54:00:" + ":".join(f"{octet:02x}" for octet in octets),
        runs=chance.random() < RUN,
        rhythm=rhythm.of(chance, BUSIEST_GUEST),
    )
