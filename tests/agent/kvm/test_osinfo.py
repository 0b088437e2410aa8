"""Operating systems are found by their names, old and new, with what they and their ancestors can drive."""

import pytest

from oms.agent.host import osinfo_db
from oms.agent.kvm.osinfo import Database, read
from oms.contract.errors import ParameterMismatch

MIB = 1024 * 1024
OLD = f"""
<libosinfo version="0.0.1"><os id="http://x/1">
  <short-id>Exa1.0</short-id><short-id>exafirst</short-id><name>Exa 1</name><version>1.0</version>
  <family>linux</family>
  <devices><device id="http://d/disk"/><device id="http://d/sound"/></devices>
  <resources arch="all"><minimum><ram>{64 * MIB}</ram></minimum></resources>
  <resources arch="x86_64"><minimum><ram>{128 * MIB}</ram></minimum></resources>
  <media installer-reboots="2"/><media/>
</os></libosinfo>"""
NEW = """
<libosinfo version="0.0.1"><os id="http://x/2">
  <short-id>exa2</short-id><derives-from id="http://x/1"/><derives-from id="http://x/nowhere"/>
  <devices><device id="http://d/sound" supported="false"/><device id="http://d/net"/></devices>
  <resources arch="i686"><minimum><ram>1</ram></minimum></resources>
</os></libosinfo>"""
TWIN = """
<libosinfo version="0.0.1"><os id="http://x/3"><short-id>exa3</short-id><clones id="http://x/2"/>
<derives-from id="http://x/3"/></os></libosinfo>"""
DRIVER = '<libosinfo version="0.0.1"><os id="http://x/1"><driver id="http://d/1"/></os></libosinfo>'


def database() -> Database:
    return read(text.encode() for text in (OLD, NEW, TWIN, DRIVER, "<libosinfo", "<libosinfo/>"))


def test_a_system_is_read_with_all_that_is_said_of_it() -> None:
    known = database()
    assert len(known) == 3
    found = known.find("EXA1.0")
    assert found is not None
    assert (found.id, found.names, found.title) == ("http://x/1", ("exa1.0", "exafirst"), "Exa 1")
    assert (found.family, found.version) == ("linux", "1.0")
    assert (found.minimum_memory_mb, found.installer_reboots) == (128, 2)
    assert known.find("exafirst") == found


def test_devices_come_down_from_ancestors_but_for_those_that_it_cannot_drive() -> None:
    known = database()
    for name in ("exa2", "exa3"):
        found = known.find(name)
        assert found is not None
        assert found.devices == {"http://d/disk", "http://d/net"}
        assert found.minimum_memory_mb == 0


def test_a_version_may_be_left_out_where_it_is_the_first() -> None:
    found = database().find("exa1")
    assert found is not None
    assert found.id == "http://x/1"


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ParameterMismatch, match=r"no operating system 'Exa-22'; did you mean exa2") as caught:
        database().find("Exa-22")
    assert caught.value.data == {"parameter": "os_variant"}
    with pytest.raises(ParameterMismatch, match="'zzz'\\. Its package osinfo-db"):
        database().find("zzz")


def test_a_name_that_means_none_in_particular_is_no_system() -> None:
    assert database().find("generic26") is None


def test_without_the_database_every_name_is_taken_as_none_in_particular() -> None:
    assert read([]).find("winxp") is None


@pytest.fixture(scope="module")
def real() -> Database:
    return read(osinfo_db.texts())


def test_names_of_2010_are_still_known(real: Database) -> None:
    names = (
        "winxp winxp64 win2k3 win7 vista rhel5 rhel5.4 rhel6 fedora14 sles11 debianLenny ubuntuKarmic virtio26 "
        "msdos opensolaris solaris10 freebsd8 openbsd4 netware6"
    )
    assert {name for name in names.split() if real.find(name) is None} == set()


def test_the_real_database_knows_what_systems_can_drive(real: Database) -> None:
    debian, windows = real.find("debian11"), real.find("winxp")
    assert debian is not None
    assert windows is not None
    assert "http://pcisig.com/pci/1af4/1042" in debian.devices
    assert "http://pcisig.com/pci/8086/100e" in windows.devices
    assert "http://pcisig.com/pci/1af4/1001" not in windows.devices
    assert (windows.family, windows.minimum_memory_mb, windows.installer_reboots) == ("winnt", 256, 2)


def test_a_misspelled_name_is_told_what_was_meant(real: Database) -> None:
    with pytest.raises(ParameterMismatch, match="debian11"):
        real.find("debain11")
