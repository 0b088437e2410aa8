"""What this host's processors and swap spaces are."""

import platform
import re
from pathlib import Path

import msgspec

CPUINFO, SWAPS = Path("/proc/cpuinfo"), Path("/proc/swaps")
FIRST_CPU = Path("/sys/devices/system/cpu/cpu0")


class Processor(msgspec.Struct, frozen=True):
    """As told to people: "4096 KB", the maker's name for it, MHz with three decimals."""

    cache: str
    type: str
    mhz: str


def processor(cpuinfo: str | None = None, first: Path = FIRST_CPU) -> Processor:
    """The first one. Where /proc/cpuinfo does not say, as on other machines than PCs, the kernel's other files
    may. Raises OSError."""
    text = CPUINFO.read_text() if cpuinfo is None else cpuinfo
    said = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    }
    return Processor(
        cache=said.get("cache size") or f"{_cache_kb(first)} KB",
        type=said.get("model name") or platform.machine(),
        mhz=said.get("cpu MHz") or f"{_khz(first) / 1000:.3f}",
    )


def swap_paths(swaps: str | None = None) -> tuple[str, ...]:
    """Where the swap spaces are. Raises OSError."""
    text = SWAPS.read_text() if swaps is None else swaps
    return tuple(line.split()[0].replace("\\040", " ") for line in text.splitlines()[1:] if line.strip())


def _cache_kb(first: Path) -> int:
    sizes = (re.match(r"\d+", _word(path)) for path in first.glob("cache/index*/size"))
    return max((int(size[0]) for size in sizes if size), default=0)


def _khz(first: Path) -> int:
    word = _word(first / "cpufreq/cpuinfo_max_freq")
    return int(word) if word.isdigit() else 0


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
