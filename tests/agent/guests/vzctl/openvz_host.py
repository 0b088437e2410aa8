"""A host with OpenVZ's kernel, as far as OMS sees it: the double's programs over a directory."""

import sys
from pathlib import Path

from oms.agent.guests.vzctl import VzContainers
from oms.agent.guests.vzctl.programs import Programs

DOUBLE = Path(__file__).with_name("openvz_double.py")
VZ_CONF = 'VE_ROOT="{0}/root/$VEID"\nVE_PRIVATE="{0}/private/$VEID"\nCONFIGFILE="vswap-256m"\n'
SAMPLE = (
    '# a comment\nPHYSPAGES="0:256M"\nKMEMSIZE="14372700:14790164"\nOSTEMPLATE="debian-7.0-x86_64"\nEVIL="$(id)"\n'
)


def furnish(directory: Path) -> None:
    """What a host with OpenVZ has."""
    for name in ("etc/conf", "private", "root", "proc"):
        (directory / name).mkdir(parents=True)
    (directory / "etc/vz.conf").write_text(VZ_CONF.format(directory))
    (directory / "etc/conf/ve-vswap-256m.conf-sample").write_text(SAMPLE)


def containers_of(directory: Path, *, sends: bool = False) -> VzContainers:
    """Its containers."""
    called = (sys.executable, "-S", str(DOUBLE), str(directory))
    programs = Programs((*called, "vzctl"), (*called, "vzlist"), (*called, "vzmigrate"))
    return VzContainers(programs, directory / "etc", directory / "proc", sends=sends)
