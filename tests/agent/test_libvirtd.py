"""What libvirtd is spared before it is started."""

import grp
import os
import stat
from pathlib import Path

import pytest

from oms.agent.libvirtd import forget_broken_starts, hand_over_kvm

KEPT = {
    "runs.xml": "<domstatus state='running' reason='booted' pid='4711'><domain/></domstatus>",
    "torn.xml": "<domstatus state='paused' reason='starting up' pid='0'>",
    "other.xml": "<domain pid='0'/>",
    "m.pid": "<domstatus state='paused' reason='starting up' pid='0'/>",
}


def test_only_notes_of_starts_that_made_no_process_are_forgotten(tmp_path: Path) -> None:
    for name, text in KEPT.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "m.xml").write_text(
        "<!-- w -->\n<domstatus state='paused' reason='starting up' pid='0'><x/></domstatus>"
    )
    forget_broken_starts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(KEPT)


def test_where_there_are_no_notes_there_is_nothing_to_do(tmp_path: Path) -> None:
    forget_broken_starts(tmp_path / "none")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes a device")
def test_the_device_that_root_alone_may_use_is_handed_to_its_group(tmp_path: Path) -> None:
    device, file = tmp_path / "kvm", tmp_path / "file"
    os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    file.touch(mode=0o600)
    gid = grp.getgrnam("daemon").gr_gid
    for place in (device, file, tmp_path / "none"):
        hand_over_kvm(place, "nosuchgroup")
        hand_over_kvm(place, "daemon")
    assert (device.stat().st_gid, stat.S_IMODE(device.stat().st_mode)) == (gid, 0o660)
    assert (file.stat().st_gid, stat.S_IMODE(file.stat().st_mode)) == (0, 0o600)
    device.chmod(0o600)
    hand_over_kvm(device, "adm")
    assert device.stat().st_gid == gid  # somebody's own way
