"""Which file systems are a host's own."""

from pathlib import Path

import pytest

from oms.agent.host import mounts
from oms.agent.host.mounts import Mount

KINDS = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tnfs4\nnodev\toverlay\n\text4\n\txfs\n\tbtrfs\n\tsquashfs\n\tfuseblk\n"
TABLE = """\
27 1 254:0 / / rw,relatime - ext4 /dev/mapper/root rw
22 27 0:21 / /proc rw - proc proc rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
40 27 254:1 / /storage\\040two rw shared:5 - xfs /dev/sdb1 rw
41 27 254:1 /images /var/lib/images rw - xfs /dev/sdb1 rw
42 27 0:50 /@home /home rw - btrfs /dev/sdc rw
43 27 0:50 / /mnt/whole rw - btrfs /dev/sdc rw
44 27 0:60 / /mnt/far rw - nfs4 server:/export rw
45 27 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro
46 27 0:70 / /tank rw - zfs tank rw
47 27 0:71 / /srv/web rw - fuse.sshfs web: rw
48 27 7:1 / /var/lib/lxc/101/rootfs rw,nodev - ext4 /dev/loop1 rw
"""


def test_each_disk_counts_once_and_what_lies_elsewhere_not_at_all() -> None:
    assert mounts.own(TABLE, KINDS) == (
        Mount("/", "/dev/mapper/root"),
        Mount("/mnt/whole", "/dev/sdc"),
        Mount("/storage two", "/dev/sdb1"),
        Mount("/tank", "tank"),
    )


@pytest.mark.parametrize(
    ("kind", "seen"), [("overlay", True), ("tmpfs", True), ("nfs4", False), ("rootfs", False)]
)
def test_the_root_counts_also_without_a_disk_unless_it_lies_on_the_network(kind: str, *, seen: bool) -> None:
    assert bool(mounts.own(f"27 1 0:99 / / rw - {kind} root rw", KINDS)) is seen


def test_this_machine_has_a_root_that_is_not_empty() -> None:
    root = next(mount for mount in mounts.here() if mount.point == "/")
    usage = mounts.usage(root)
    assert usage is not None
    assert 0 < usage.used_kb < usage.total_kb
    assert mounts.usage(Mount("/no/such/place", "none")) is None
    assert Path("/").is_mount()
