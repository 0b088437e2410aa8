"""A system packed as a machine's finds its console in a container, and ends when it is asked to."""

from pathlib import Path

import pytest

from oms.agent.rootfs import terminals

DEBIAN = """# /etc/inittab: init(8) configuration.
id:2:initdefault:
si::sysinit:/etc/init.d/rcS
~~:S:wait:/sbin/sulogin --force
l2:2:wait:/etc/init.d/rc 2
ca:12345:ctrlaltdel:/sbin/shutdown -t1 -a -r now
pf::powerwait:/etc/init.d/powerfail start
pn::powerfailnow:/etc/init.d/powerfail now
1:2345:respawn:/sbin/getty --noclear 38400 tty1
2:23:respawn:/sbin/getty 38400 tty2
#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100
"""
SETTLED = """# /etc/inittab: init(8) configuration.
id:2:initdefault:
si::sysinit:/etc/init.d/rcS
~~:S:wait:/sbin/sulogin --force
l2:2:wait:/etc/init.d/rc 2
ca:12345:ctrlaltdel:/sbin/shutdown -t1 -a -r now
pf::powerwait:/sbin/shutdown -h now
pn::powerfailnow:/etc/init.d/powerfail now
1:2345:respawn:/sbin/getty --noclear 38400 console
#2:23:respawn:/sbin/getty 38400 tty2
#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100
"""


def test_debians_has_one_terminal_and_ends_when_the_power_fails() -> None:
    assert terminals.for_container(DEBIAN) == SETTLED


def test_what_was_settled_stays_as_it_is() -> None:
    assert terminals.for_container(SETTLED) == SETTLED


def test_centos_has_one_without_a_line_about_power() -> None:
    text = "id:3:initdefault:\n1:2345:respawn:/sbin/mingetty tty1\n2:2345:respawn:/sbin/mingetty tty2\n"
    assert terminals.for_container(text) == (
        "id:3:initdefault:\n1:2345:respawn:/sbin/mingetty console\n#2:2345:respawn:/sbin/mingetty tty2\n"
        "pf::powerwait:/sbin/shutdown -h now\n"
    )


@pytest.mark.parametrize("text", ["", "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n"])
def test_busyboxs_is_left_alone(text: str) -> None:
    assert terminals.for_container(text) == text


def test_a_link_in_its_place_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_text(DEBIAN)
    (tmp_path / "root/etc/inittab").symlink_to(outside)
    terminals.settle(tmp_path / "root", (0, 0))
    assert outside.read_text() == DEBIAN
    (tmp_path / "root/etc/inittab").unlink()
    terminals.settle(tmp_path / "root", (0, 0))
    (tmp_path / "root/etc/inittab").write_text(DEBIAN)
    (tmp_path / "root/etc/inittab").chmod(0o600)
    terminals.settle(tmp_path / "root", (0, 0))
    assert (tmp_path / "root/etc/inittab").read_text() == SETTLED
    assert oct((tmp_path / "root/etc/inittab").stat().st_mode) == "0o100600"
    assert [path.name for path in (tmp_path / "root/etc").iterdir()] == ["inittab"]
