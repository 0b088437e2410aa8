"""Installation media that boot for real: the tiny one, done in a second, and a Linux that installs it."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Literal

import libvirt

from tests.hosts.guest_image import KERNEL_ARGUMENTS, GuestImage, archive, download

SOURCE = Path(__file__).with_name("tiny_installer.S")
ORDER_AT = 511
SYSTEM_AT = 512
INSTALLED = "tiny installer: installed"
UP = "tiny system: up"

Order = Literal["", "r", "p"]
"""What the installer does by itself when it has installed: wait to be told, restart, turn off."""


LINUX_INSTALLER = """\
#!/bin/sh
mkdir /cd
mount -t iso9660 -o ro /dev/sr0 /cd
disk=$(ls /sys/block | grep -m 1 '^[vs]d')
dd if=/cd/system of=/dev/$disk conv=fsync && echo "the installer has installed"
reboot -f
"""
"""Runs in the tiny guest. That it finds the CD and the disk is what a real installer needs."""
BOOT_MENU = f"default it\nlabel it\n kernel vmlinuz\n append initrd=initrd.gz {KERNEL_ARGUMENTS}\n"


def tiny_cd(path: Path, order: Order = "") -> Path:
    """Write the tiny installation medium to `path`."""
    with tempfile.TemporaryDirectory() as scratch:
        image = bytearray(_assembled(Path(scratch)))
        image[ORDER_AT : ORDER_AT + 1] = order.encode() or b"\0"
        cd = Path(scratch, "cd")
        cd.mkdir()
        (cd / "boot.bin").write_bytes(image)
        _write(path, cd, "boot.bin")
    return path


def linux_cd(path: Path, guest: GuestImage) -> Path:
    """Write one to `path` from which the tiny guest boots, installs the tiny system, and restarts."""
    with tempfile.TemporaryDirectory() as scratch:
        unpacked, cd = Path(scratch, "unpacked"), Path(scratch, "cd")
        for package in ("isolinux", "syslinux-common"):
            _run("dpkg-deb", "--extract", str(download(package, Path(scratch))), str(unpacked))
        cd.mkdir()
        for file in ("ISOLINUX/isolinux.bin", "syslinux/modules/bios/ldlinux.c32"):
            shutil.copy(unpacked / "usr/lib" / file, cd)
        shutil.copy(guest.kernel, cd / "vmlinuz")
        (cd / "initrd.gz").write_bytes(guest.initrd.read_bytes() + guest.cd_modules.read_bytes())
        archive(cd / "initrd.gz", {"agent": None, "agent/start": LINUX_INSTALLER.encode()})
        (cd / "isolinux.cfg").write_text(BOOT_MENU)
        (cd / "system").write_bytes(_assembled(Path(scratch))[SYSTEM_AT : SYSTEM_AT + 512])
        _write(path, cd, "isolinux.bin", "-boot-info-table")
    return path


def _assembled(scratch: Path) -> bytes:
    return assembled(SOURCE, scratch)


def assembled(source: Path, scratch: Path) -> bytes:
    """What the firmware loads of a program."""
    program = scratch / "program"
    _run("gcc", "-m32", "-nostdlib", "-static", "-Wl,--oformat=binary,-Ttext=0x7c00,--build-id=none",
         "-o", str(program), str(source))  # fmt: skip
    return program.read_bytes()


def _write(path: Path, cd: Path, boot: str, *options: str) -> None:
    # -R: else its names are in capitals.
    _run("genisoimage", "-quiet", "-R", "-V", "OMS", "-o", str(path), "-b", boot, "-c", "boot.cat",
         "-no-emul-boot", "-boot-load-size", "4", *options, str(cd))  # fmt: skip


class Console:
    """The serial console of a running machine, as long as it runs."""

    def __init__(self, domain: libvirt.virDomain) -> None:
        end = time.monotonic() + 10
        while (found := re.search(r"<source path='(/dev/pts/\d+)'", domain.XMLDesc(0))) is None:
            assert time.monotonic() < end, "the machine has no serial console, or does not run"
            time.sleep(0.05)
        self._place = os.open(found[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def wait_for(self, marker: str, seconds: float = 120) -> None:
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
