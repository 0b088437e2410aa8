"""A guest small enough to boot for real in every test run, without hardware virtualisation.

Debian's cloud kernel and a static busybox, downloaded as packages and unpacked, never installed; put together as a
kernel and an initramfs, and kept below the user's cache directory per version of the two packages. The guest loads
the virtio drivers, says `UP_MARKER` with what it found on its serial console, and powers off at the press of the
(virtual) power button. Words among the kernel's arguments have it do more: see `DEAF` and `TICKING`.
"""

import gzip
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.surroundings import caches

KERNEL_META_PACKAGE = "linux-image-cloud-amd64"
SHELL_PACKAGE = "busybox-static"
# evdev and button: how the power button's press reaches the guest.
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_balloon", "button", "evdev")
CD_MODULES = ("ata_piix", "sd_mod", "sr_mod", "isofs")
"""What a guest loads besides that finds files on its CD, and a disk beside that."""
UP_MARKER = "oms-guest is up"
DOWN_MARKER = "oms-guest powers off"
DEAF = "oms.deaf"
"""It does not hear its power button."""
TICKING = "oms.ticking"
"""It counts, several times a second: aloud, as `TICK_MARKER` and the number, and into the first block of its first
disk, where it has one."""
TICK_MARKER = "oms-guest tick"
FULL = "oms.full"
"""It fills half of its memory with what is not zero before it says that it is up."""
RECIPE = 4  # counts changes of this file that make older images unfit
KERNEL_ARGUMENTS = "console=ttyS0 quiet panic=-1"

INIT = f"""\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
for module in /modules/*; do insmod $module; done
disks=$(ls /sys/block | grep ^vd | tr '\n' ,)
memory=$(sed -n 's/^MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo)
[ -x /agent/start ] && /agent/start &
grep -q {FULL} /proc/cmdline && for two_mb in $(seq $((memory / 4000))); do cat /bin/busybox; done >/full
tick() {{
    n=0
    while :; do
        n=$((n + 1))
        [ -b /dev/vda ] && echo $n | dd of=/dev/vda bs=512 count=1 conv=sync,fsync 2>/dev/null
        echo "{TICK_MARKER} $n"
        sleep 0.2
    done
}}
grep -q {TICKING} /proc/cmdline && tick &
hear() {{
    while :; do acpid -f -l /dev/null; sleep 1; done
}}
if ! grep -q {DEAF} /proc/cmdline; then
    hear &
    # The press of a button that nobody has opened yet is lost.
    until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/input/event; do sleep 0.1; done
fi
echo "{UP_MARKER} cpus=$(nproc) memory_kib=$memory disks=$disks"
while :; do sleep 60; done
"""

POWER_BUTTON = f"""\
#!/bin/sh
echo "{DOWN_MARKER}" >/dev/ttyS0
poweroff -f
"""


@dataclass(frozen=True)
class GuestImage:
    """What direct kernel boot takes; both files may be used by many guests at once."""

    kernel: Path
    initrd: Path

    @property
    def cd_modules(self) -> Path:
        """An archive to put behind the initramfs of a guest that boots from its CD."""
        return self.initrd.with_name("cd-modules.gz")


def guest_image(cache: Path | None = None) -> GuestImage:
    """The image for the packages this machine's apt knows, built on first use (some 20 MB, a few seconds).

    Raises RuntimeError with apt's words when a package can be neither downloaded nor found in the cache.
    """
    cache = cache or caches() / "oms-tests"
    try:
        return _kept_or_built(cache)
    except RuntimeError:
        # Package lists that are missing or older than the archive: both are cured once.
        _run("apt-get", "--quiet", "update")
        return _kept_or_built(cache)


def _kept_or_built(cache: Path) -> GuestImage:
    shown = _run("apt-cache", "show", "--no-all-versions", KERNEL_META_PACKAGE, SHELL_PACKAGE)
    # The versioned package that the meta package stands for today.
    kernel_package = _field(r"^Depends: .*?\b(linux-image-\d\S+-cloud-amd64)\b", shown)
    shell_version = _field(rf"^Package: {SHELL_PACKAGE}\n(?:.+\n)*?Version: (\S+)", shown)
    kept = cache / re.sub(r"[^\w.+-]", "_", f"guest-{RECIPE}_{kernel_package}_{shell_version}")
    if not kept.is_dir():
        _build(kernel_package, kept)
    return GuestImage(kernel=kept / "vmlinuz", initrd=kept / "initrd.gz")


def _build(kernel_package: str, kept: Path) -> None:
    """Build beside `kept` and rename, so that a broken-off or a second build at the same time does no harm."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="building-") as scratch:
        unpacked, image = Path(scratch, "unpacked"), Path(scratch, "image")
        for package in (kernel_package, SHELL_PACKAGE):
            _run("dpkg-deb", "--extract", str(download(package, Path(scratch))), str(unpacked))
        image.mkdir()
        [kernel] = unpacked.glob("boot/vmlinuz-*")
        shutil.copyfile(kernel, image / "vmlinuz")
        archive(image / "initrd.gz", _contents(unpacked))
        archive(image / "cd-modules.gz", _cd_modules(unpacked))
        try:
            image.rename(kept)
        except OSError:
            if not kept.is_dir():  # somebody else was faster: theirs is as good
                raise


def _contents(unpacked: Path) -> dict[str, bytes | None]:
    """Path in the initramfs to content; None is a directory. Everything is made executable."""
    contents: dict[str, bytes | None] = dict.fromkeys(
        ("proc", "sys", "dev", "bin", "etc", "etc/acpi", "etc/acpi/PWRF", "modules")
    )
    busybox = unpacked / "bin/busybox"
    # A script per command instead of links: cpio links are one more thing to write.
    for command in _run(str(busybox), "--list").split():
        contents[f"bin/{command}"] = f'#!/bin/busybox sh\nexec /bin/busybox {command} "$@"\n'.encode()
    contents["bin/busybox"] = busybox.read_bytes()
    contents["bin/sh"] = busybox.read_bytes()
    contents["init"] = INIT.encode()
    contents["etc/acpi/PWRF/00000080"] = POWER_BUTTON.encode()
    return contents | _modules(_with_dependencies(unpacked, MODULES))


def _cd_modules(unpacked: Path) -> dict[str, bytes | None]:
    there = _with_dependencies(unpacked, MODULES)
    more = [module for module in _with_dependencies(unpacked, CD_MODULES) if module not in there]
    return _modules(more, first=len(there))


def _modules(modules: list[Path], first: int = 0) -> dict[str, bytes | None]:
    return {f"modules/{at:02}-{module.name}": module.read_bytes() for at, module in enumerate(modules, first)}


def _with_dependencies(unpacked: Path, names: tuple[str, ...]) -> list[Path]:
    """The files of modules and of what they need, each after its needs, as insmod wants them."""
    files = {path.name.removesuffix(".ko").replace("-", "_"): path for path in unpacked.rglob("*.ko")}
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        for needed in _depends(files[name]):
            add(needed)
        ordered.setdefault(name, files[name])

    for name in names:
        add(name)
    return list(ordered.values())


def _depends(module: Path) -> list[str]:
    """What a kernel module says it needs, from its .modinfo section (NUL-separated `key=value`)."""
    found = re.search(rb"\0depends=([^\0]*)\0", module.read_bytes())
    return [name.replace("-", "_") for name in found[1].decode().split(",") if name] if found else []


def archive(path: Path, contents: dict[str, bytes | None]) -> None:
    """Write an initramfs, or a piece of one: the kernel takes several, one behind the other. A path in it to its
    content; None is a directory."""
    with gzip.open(path, "ab", compresslevel=1) as out:
        for piece in cpio(contents):
            out.write(piece)


def cpio(contents: dict[str, bytes | None]) -> Iterator[bytes]:
    """An initramfs archive, format "newc": see the kernel's early-userspace/buffer-format document."""
    for inode, (name, data) in enumerate(contents.items(), start=1):
        mode = 0o040755 if data is None else 0o100755
        yield from _cpio_entry(inode, name, mode, data or b"")
    yield from _cpio_entry(0, "TRAILER!!!", 0, b"")


def _cpio_entry(inode: int, name: str, mode: int, data: bytes) -> Iterator[bytes]:
    path = name.encode() + b"\0"
    links = 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    yield head + bytes(-len(head) % 4)
    yield data + bytes(-len(data) % 4)


def _field(pattern: str, shown: str) -> str:
    found = re.search(pattern, shown, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"apt describes {KERNEL_META_PACKAGE} or {SHELL_PACKAGE} in an unknown way: {shown!r}")
    return found[1]


def download(package: str, into: Path) -> Path:
    """A package's file, in that directory."""
    # The sandbox user may not write below a home directory; apt would warn and do the same.
    _run("apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", package, cwd=into)
    [file] = into.glob(f"{package}_*.deb")
    return file


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
