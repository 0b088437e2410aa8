"""The real qemu-guest-agent in the tiny guest: its package, unpacked, and the libraries that it needs from here,
as an archive behind the guest's own. The kernel takes both as one initramfs."""

import re
import subprocess
import tempfile
from pathlib import Path

from tests.hosts.guest_image import GuestImage, archive, download

PACKAGE = "qemu-guest-agent"
CHANNEL = "org.qemu.guest_agent.0"
DEVICE = (
    f"<channel type='unix'><target type='virtio' name='{CHANNEL}'/></channel><controller type='virtio-serial'/>"
)
START = f"""\
#!/bin/sh
for port in /sys/class/virtio-ports/*; do
    [ "$(cat $port/name)" = {CHANNEL} ] && exec /agent/qemu-ga -m virtio-serial -p /dev/${{port##*/}} -t /agent
done
"""
SHUTDOWN = """\
#!/bin/sh
echo "the agent shuts down" >/dev/ttyS0
poweroff -f
"""


def with_agent(image: GuestImage) -> GuestImage:
    """The same guest with the agent in it, made where it is not there yet."""
    initrd = image.initrd.with_name("initrd-agent.gz")
    if not initrd.exists():
        with tempfile.TemporaryDirectory(dir=initrd.parent, prefix="building-") as scratch:
            made = Path(scratch, "initrd.gz")
            made.write_bytes(image.initrd.read_bytes())
            archive(made, _contents(Path(scratch)))
            made.replace(initrd)
    return GuestImage(kernel=image.kernel, initrd=initrd)


def _contents(scratch: Path) -> dict[str, bytes | None]:
    subprocess.run(["dpkg-deb", "--extract", download(PACKAGE, scratch), scratch / "unpacked"], check=True)
    agent = scratch / "unpacked/usr/sbin/qemu-ga"
    listed = subprocess.run(["ldd", agent], check=True, capture_output=True, text=True).stdout
    libraries = [Path(path) for path in re.findall(r"(/\S+) \(0x", listed)]
    contents: dict[str, bytes | None] = dict.fromkeys(("agent", "sbin", "lib", "lib64", "lib/x86_64-linux-gnu"))
    for library in libraries:
        contents[str(library).lstrip("/")] = library.read_bytes()
    contents["agent/qemu-ga"] = agent.read_bytes()
    contents["agent/start"] = START.encode()
    contents["sbin/shutdown"] = SHUTDOWN.encode()
    return contents
