"""Whether this host's processor really runs machines, or they must be emulated.

That the device /dev/kvm is there, that libvirt lists the type, even that a machine's firmware runs to its end, are
no proof: on some hosts (nested virtualisation without full support) all of that holds and yet every operating
system stops at once. Proof is a kernel that comes up.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from oms.agent.guests import DomainType
from oms.agent.host.process import ProgramError, ProgramTimeout, run

KVM = Path("/dev/kvm")
FIRST_WORDS = b"Linux version"
BOOT_SECONDS = 8.0
MEMORY_MB = 256
FORCE = 'set domain_type = "kvm" in the agent\'s configuration to use it all the same'


class Probe(msgspec.Struct, frozen=True):
    """What was found, and why, in a sentence for the log and for whoever asks why machines are slow."""

    type: DomainType
    reason: str


async def probe_domain_type(
    kernels: Iterable[Path], qemu_binary: str, *, kvm: Path = KVM, seconds: float = BOOT_SECONDS
) -> Probe:
    """Boot the first of `kernels` (images, as in /boot/vmlinuz*) that is there, by hardware, and listen for its
    voice.

    Takes 1 to 2 s where it works, `seconds` where not. Never raises for what it finds: emulation works everywhere.
    """
    if not kvm.is_char_device():
        return Probe(
            "qemu", f"{kvm} is not there: the processor's virtualisation is off, or its module is not loaded"
        )
    kernel = next((kernel for kernel in kernels if kernel.is_file()), None)
    if kernel is None:
        return Probe("qemu", f"there is no kernel image to prove with that {kvm} works; {FORCE}")
    try:
        works = await boots(kernel, qemu_binary, "kvm", seconds)
    except ProgramError as error:
        return Probe("qemu", error.message)
    if works:
        return Probe("kvm", f"{kernel} came up under {kvm}")
    return Probe("qemu", f"{kernel} did not come up under {kvm} within {seconds:g} s; {FORCE}")


async def boots(kernel: Path, qemu_binary: str, accelerator: str, seconds: float = BOOT_SECONDS) -> bool:
    """Whether a kernel says its first words. It has no disk, panics soon after, and ends qemu by that."""
    argv = [
        qemu_binary, "-accel", accelerator, "-m", str(MEMORY_MB), "-display", "none", "-nodefaults", "-no-reboot",
        "-serial", "stdio", "-kernel", str(kernel), "-append", "console=ttyS0 earlyprintk=serial,ttyS0 panic=-1",
    ]  # fmt: skip
    try:
        said = (await run(argv, timeout=seconds)).stdout
    except ProgramTimeout as late:
        said = late.so_far
    return FIRST_WORDS in said


def newest_kernels(boot: Path = Path("/boot")) -> list[Path]:
    """The host's own kernel images, the one changed last first."""
    return sorted(boot.glob("vmlinuz*"), key=lambda image: image.stat().st_mtime, reverse=True)
