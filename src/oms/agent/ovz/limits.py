"""What a container may be given, and which settings are refused with which words. Pure.

What is legal, and why:

- CPUs: from 1 to the host's own number.
- CPU limit: percent of one CPU, up to all of the host's; 0 is no limit.
- memory: 0 is no limit, else from 16 MB (less does not start an init) to what the host can give now: what is free
  and what the container holds already.
- disk: from what is in it, to that and what is free; where nothing can hold it to a size, only 0, and why is said.
  One that is an image keeps a size, and becomes smaller only while it is off.
- What a container has is always legal: somebody gave it that, and sending a form back unchanged must work.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec

from oms.agent.given import KB_PER_MB, shown, whole_number
from oms.agent.guests import Capacity, Use
from oms.agent.guests.containers import Container, ContainerCapabilities, ContainerChange, ContainerSettings
from oms.contract.types import Secret

MIN_VCPUS = 1
MIN_MEMORY_MB = 16
MIN_DISK_MB = 16
USUAL_DISK_MB = 10240
NO_LIMIT = ", or 0 for no limit"
MOST_ADDRESSES = 16
HOSTNAME = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
WITHOUT = (
    "nothing holds it to a size, because it was made without one; a container of a template that is made of this "
    "one can have one"
)
Given = Mapping[str, str | int]


class Limits(msgspec.Struct, frozen=True):
    """Both ends are legal, and 0 of memory and disk is no limit. Memory and disk in MB."""

    max_vcpus: int
    min_memory_mb: int
    max_memory_mb: int
    min_disk_mb: int
    max_disk_mb: int
    min_vcpus: int = MIN_VCPUS
    no_disk_limit: str = ""
    """Why a disk cannot be held to a size."""
    usual_disk_mb: int = USUAL_DISK_MB
    """Of a container for which nobody says another; 0: none."""
    disk_words: str = NO_LIMIT
    """What follows the sizes that are legal."""
    endless_disk: bool = True
    """0 of the disk is legal."""
    swap: bool = True
    """This host's kernel can hold swap to a limit."""
    routed: bool = True

    @property
    def max_vcpulimit(self) -> int:
        """Percent of one CPU."""
        return 100 * self.max_vcpus


def of_host(capacity: Capacity, capabilities: ContainerCapabilities, free_disk_kb: int) -> Limits:
    """For a new container on a host."""
    limited = bool(capabilities.disk_limit)
    return Limits(
        max_vcpus=max(MIN_VCPUS, capacity.cpus),
        min_memory_mb=MIN_MEMORY_MB,
        max_memory_mb=max(MIN_MEMORY_MB, capacity.available_memory_kb // KB_PER_MB),
        min_disk_mb=MIN_DISK_MB if limited else 0,
        max_disk_mb=max(MIN_DISK_MB, free_disk_kb // KB_PER_MB) if limited else 0,
        no_disk_limit=capabilities.why_no_disk_limit,
        usual_disk_mb=0 if capabilities.disk_limit in ("", "image") else USUAL_DISK_MB,
        swap=capabilities.swap,
    )


def of_container(container: Container, host: Limits, use: Use | None, why_no_disk_limit: str) -> Limits:
    """For a container that is there."""
    now, used = container.settings, use or Use()
    held_mb = used.memory.used_kb // KB_PER_MB if used.memory else 0
    full_mb = -(-used.disk.used_kb // KB_PER_MB) if used.disk else 0
    has_mb, disk_mb = now.memory_kb // KB_PER_MB, now.disk_kb // KB_PER_MB
    limited = bool(container.disk_limit)
    image = container.disk_limit == "image"
    least_disk = max(MIN_DISK_MB, full_mb, -(-container.least_disk_kb // KB_PER_MB))
    smaller = " (smaller only while it is off)" if image and container.runs else ""
    return Limits(
        max_vcpus=max(host.max_vcpus, now.vcpus),
        min_memory_mb=min(MIN_MEMORY_MB, has_mb) if has_mb else MIN_MEMORY_MB,
        max_memory_mb=max(host.max_memory_mb + held_mb, has_mb),
        min_disk_mb=(min(least_disk, disk_mb) if disk_mb else least_disk) if limited else 0,
        max_disk_mb=max(host.max_disk_mb + full_mb, disk_mb) if limited else 0,
        no_disk_limit="" if limited else why_no_disk_limit or WITHOUT,
        disk_words=smaller if image else NO_LIMIT,
        endless_disk=not image,
        swap=host.swap,
        routed=container.network.kind != "bridge",
    )


def refused(given: Given, limits: Limits) -> dict[str, str]:
    """Every refused setting with a text that says what is legal; {} where all are legal."""
    texts = {}
    for name, value in given.items():
        rule = RULES.get(name)
        if rule is None:
            texts[name] = f"There is no such setting; there are {', '.join(RULES)}"
        elif text := rule(value, limits):
            texts[name] = text
    return texts


def wanted(given: Given) -> ContainerChange:
    """The change that settings of which none was refused are."""
    password = given.get("password", given.get("passwd"))
    return ContainerChange(
        hostname=str(given["hostname"]) if "hostname" in given else None,
        memory_kb=_kb(given, "memory"),
        swap_kb=_kb(given, "swap"),
        vcpus=whole_number(given["vcpu"]) if "vcpu" in given else None,
        vcpulimit=whole_number(given["vcpulimit"]) if "vcpulimit" in given else None,
        disk_kb=_kb(given, "disk"),
        addresses=_words(given, "ip_address"),
        nameservers=_words(given, "nameserver"),
        searchdomains=_words(given, "searchdomain"),
        onboot=given["onboot"] == "yes" if "onboot" in given else None,
        password=Secret(str(password)) if password is not None else None,
    )


def shown_vcpus(settings: ContainerSettings, limits: Limits) -> int:
    """One that is not held to some CPUs has all of the host's."""
    return settings.vcpus or limits.max_vcpus


def _kb(given: Given, name: str) -> int | None:
    number = whole_number(given[name]) if name in given else None
    return None if number is None else number * KB_PER_MB


def _words(given: Given, name: str) -> tuple[str, ...] | None:
    return tuple(str(given[name]).split(" ")) if given.get(name) else () if name in given else None


def _vcpu(value: str | int, limits: Limits) -> str:
    least, most = limits.min_vcpus, limits.max_vcpus
    return _number("Virtual CPU count", value, least, most, "")


def _vcpulimit(value: str | int, limits: Limits) -> str:
    unit = " percent of one CPU (0: no limit)"
    return _number("Virtual CPU limit", value, 0, limits.max_vcpulimit, unit)


def _memory(value: str | int, limits: Limits) -> str:
    least, most = limits.min_memory_mb, limits.max_memory_mb
    return _number("Memory", value, least, most, f" MB{NO_LIMIT}", zero=True)


def _swap(value: str | int, limits: Limits) -> str:
    if not limits.swap:
        return "Swap cannot be limited on this host, whose kernel does not count it"
    return _number("Swap", value, 0, limits.max_memory_mb * 16, " MB")


def _disk(value: str | int, limits: Limits) -> str:
    if limits.no_disk_limit:
        return (
            ""
            if whole_number(value) == 0
            else (f"Disk size cannot be limited for this container ({limits.no_disk_limit}): 0 alone is legal")
        )
    unit, zero = f" MB{limits.disk_words}", limits.endless_disk
    return _number("Disk size", value, limits.min_disk_mb, limits.max_disk_mb, unit, zero=zero)


def _number(noun: str, value: str | int, least: int, most: int, unit: str, *, zero: bool = False) -> str:
    """`zero`: that is legal too."""
    number = whole_number(value)
    if number is not None and (least <= number <= most or (number == 0 and zero)):
        return ""
    return f"{noun} must be between {least} and {most}{unit}, got {shown(value)}"


def _ip_address(value: str | int, limits: Limits) -> str:
    legal = "an IPv4 or IPv6 address" + ("" if limits.routed else ", which may have a prefix as in 10.0.0.5/24")
    if refused := _each("IP address", value, lambda word: is_address(word, prefix=not limits.routed), legal):
        return refused
    (most, times), *_ = Counter(plain(str(value).split())).most_common(1) or [("", 0)]
    return f"IP address {most} is given {times} times; give it once" if times > 1 else ""


def _nameserver(value: str | int, _limits: Limits) -> str:
    return _each("Nameserver address", value, is_address, "an IPv4 or IPv6 address")


def _searchdomain(value: str | int, _limits: Limits) -> str:
    return _each("Search domain", value, is_hostname, "a domain's name")


def _each(noun: str, value: str | int, is_legal: Callable[[str], bool], legal: str) -> str:
    words = str(value).split(" ") if value != "" else []
    if len(words) <= MOST_ADDRESSES and all(is_legal(word) for word in words):
        return ""
    return f"{noun} must be {legal}, or several of them parted by a blank, or nothing, got {shown(value)}"


def _onboot(value: str | int, _limits: Limits) -> str:
    return "" if value in ("yes", "no") else f"Onboot configuration has to be yes or no, got {shown(value)}"


def _hostname(value: str | int, _limits: Limits) -> str:
    if isinstance(value, str) and is_hostname(value) and len(value) <= 64:
        return ""
    return f"Host name must be letters, digits, hyphens and dots, at most 64 characters, got {shown(value)}"


def _password(value: str | int, _limits: Limits) -> str:
    text = str(value)
    if not text:
        return "Password can not be zero length"
    return "" if len(text) <= 1024 and text.isprintable() else "Password must be at most 1024 printable characters"


def is_address(word: str, *, prefix: bool = False) -> bool:
    """Whether a text is an address that one machine can have."""
    address, slash, length = word.partition("/")
    try:
        found = ipaddress.ip_address(address)
        if slash:
            ipaddress.ip_interface(word)
    except ValueError:
        return False
    if "%" in word or found.is_unspecified or found.is_multicast or found.is_loopback:
        return False
    return not slash or (prefix and length.isascii() and length.isdigit())


def plain(addresses: Iterable[str]) -> tuple[str, ...]:
    """Addresses without their prefixes, each written in the one usual way."""
    return tuple(_plain(address.partition("/")[0]) for address in addresses)


def _plain(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:  # written by somebody else
        return address


def is_hostname(word: str) -> bool:
    """Whether a text is a host's or a domain's name."""
    return len(word) <= 253 and HOSTNAME.fullmatch(word) is not None


RULES: dict[str, Callable[[str | int, Limits], str]] = {
    "memory": _memory,
    "swap": _swap,
    "vcpu": _vcpu,
    "vcpulimit": _vcpulimit,
    "disk": _disk,
    "ip_address": _ip_address,
    "nameserver": _nameserver,
    "searchdomain": _searchdomain,
    "onboot": _onboot,
    "hostname": _hostname,
    "password": _password,
    "passwd": _password,
}
"""Why a value is refused, by setting."""
