"""Installation media that boot for real: the tiny one, done in a second, and a Linux that installs it."""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Literal

import libvirt

SOURCE = Path(__file__).with_name("tiny_installer.S")
ORDER_AT = 511
INSTALLED = "tiny installer: installed"
UP = "tiny system: up"

Order = Literal["", "r", "p"]
"""What the installer does by itself when it has installed: wait to be told, restart, turn off."""


def tiny_cd(path: Path, order: Order = "") -> Path:
    """Write the tiny installation medium to `path`."""
    work = path.with_name(f".{path.name}.d")
    (work / "cd").mkdir(parents=True)
    _run("gcc", "-m32", "-nostdlib", "-static", "-Wl,--oformat=binary,-Ttext=0x7c00,--build-id=none",
         "-o", str(work / "cd" / "boot.bin"), str(SOURCE))  # fmt: skip
    image = bytearray((work / "cd" / "boot.bin").read_bytes())
    image[ORDER_AT : ORDER_AT + 1] = order.encode() or b"\0"
    (work / "cd" / "boot.bin").write_bytes(image)
    _run("genisoimage", "-quiet", "-V", "TINY", "-o", str(path), "-b", "boot.bin", "-no-emul-boot",
         "-boot-load-size", "4", str(work / "cd"))  # fmt: skip
    return path


class Console:
    """The serial console of a running machine, as long as it runs."""

    def __init__(self, domain: libvirt.virDomain) -> None:
        end = time.monotonic() + 10
        while (found := re.search(r"<source path='(/dev/pts/\d+)'", domain.XMLDesc(0))) is None:
            assert time.monotonic() < end, "the machine has no serial console, or does not run"
            time.sleep(0.05)
        self._place = os.open(found[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def wait_for(self, marker: str, seconds: float = 30) -> None:
        """Until the machine says so, from now on: what was said while nobody listened is lost."""
        said, end = "", time.monotonic() + seconds
        while marker not in said:
            assert time.monotonic() < end, f"no {marker!r} on the console, but {said[-500:]!r}"
            said += self._read() or ""
            time.sleep(0.02)

    def tell(self, order: Order, *, ends: bool = True) -> None:
        """Give an order that ends the machine. `ends`: wait until it has, and its process too, which stays where
        there is no libvirtd to end it."""
        os.write(self._place, order.encode())
        if not ends:
            time.sleep(0.5)
            return
        end = time.monotonic() + 30
        while self._read() is not None:
            assert time.monotonic() < end, f"the machine did not obey {order!r}"
            time.sleep(0.02)

    def _read(self) -> str | None:
        """What has come; None where the machine has gone."""
        try:
            return os.read(self._place, 4096).decode(errors="replace") or None
        except BlockingIOError:
            return ""
        except OSError:
            return None

    def close(self) -> None:
        os.close(self._place)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"
