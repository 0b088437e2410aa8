"""Real guests on a private libvirtd: defined from a few values, cleaned up by the fixture `make_domain`."""

import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import libvirt

from tests.hosts.guest_image import KERNEL_ARGUMENTS, UP_MARKER, GuestImage


@dataclass(frozen=True)
class Guest:
    """A defined domain and the file its serial console is written to."""

    domain: libvirt.virDomain
    console: Path

    def start_and_wait(self, seconds: float = 180.0) -> str:
        """Start it and wait for the guest's own word that it is up; answers that line."""
        self.domain.create()
        return self.wait_for(UP_MARKER, seconds)

    def wait_for(self, marker: str, seconds: float = 180.0) -> str:
        """The console's first line with `marker` in it; TimeoutError with the console's end when there is none."""
        deadline = time.monotonic() + seconds
        while True:
            said = self.console.read_text(errors="replace") if self.console.exists() else ""
            # Whole lines only: the guest may be in the middle of one.
            for line in said.split("\n")[:-1]:
                if marker in line:
                    return line.strip()
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"no {marker!r} on the console after {seconds} s; it ends with {said[-1000:]!r}"
                )
            time.sleep(0.05)

    def wait_for_state(self, state: int, seconds: float = 90.0) -> None:
        """Wait until libvirt reports `state` (a libvirt.VIR_DOMAIN_* number)."""
        deadline = time.monotonic() + seconds
        while (now := self.domain.state()[0]) != state:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.domain.name()} is in state {now}, not in {state}, after {seconds} s")
            time.sleep(0.05)

    def remove(self) -> None:
        """Stop and undefine it, as far as that has not happened yet."""
        gone = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)
        what_a_test_left = (
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        )
        for step in (self.domain.destroy, lambda: self.domain.undefineFlags(what_a_test_left)):
            try:
                step()
            except libvirt.libvirtError as error:
                if error.get_error_code() not in gone:
                    raise


def domain_xml(
    name: str,
    *,
    memory_mb: int,
    vcpu: int,
    console: Path,
    disk: Path | None,
    image: GuestImage | None,
    words: tuple[str, ...] = (),
    devices: str = "",
) -> str:
    """An emulated machine (`type=qemu`), as old hardware so that it starts fast; no network, no display.

    `words` are added to its kernel's arguments, `devices` (XML) to its devices.
    """
    root = ET.Element("domain", type="qemu")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "memory", unit="MiB").text = str(memory_mb)
    ET.SubElement(root, "vcpu").text = str(vcpu)
    system = ET.SubElement(root, "os")
    ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
    if image is not None:
        ET.SubElement(system, "kernel").text = str(image.kernel)
        ET.SubElement(system, "initrd").text = str(image.initrd)
        ET.SubElement(system, "cmdline").text = " ".join((KERNEL_ARGUMENTS, *words))
    ET.SubElement(ET.SubElement(root, "features"), "acpi")
    parts = ET.SubElement(root, "devices")
    parts.extend(ET.fromstring(f"<devices>{devices}</devices>"))
    if disk is not None:
        element = ET.SubElement(parts, "disk", type="file", device="disk")
        ET.SubElement(element, "driver", name="qemu", type="qcow2" if disk.suffix == ".qcow2" else "raw")
        ET.SubElement(element, "source", file=str(disk))
        ET.SubElement(element, "target", dev="vda", bus="virtio")
    serial = ET.SubElement(parts, "serial", type="file")
    ET.SubElement(serial, "source", path=str(console))
    return ET.tostring(root, encoding="unicode")
