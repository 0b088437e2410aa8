"""What is proposed for a new machine, and that whatever is not legal is refused by name, all at once, in words."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.kvm.limits import Limits
from oms.agent.kvm.network import Network
from oms.agent.templates import proposal
from oms.agent.templates.appliance import Amount, Appliance, PackedDisk, PackedFile, PackedNic
from oms.agent.templates.disk_settings import ChosenDisk
from oms.agent.templates.judging import Choice, judged
from oms.agent.templates.proposal import Case, Conditions, Device
from oms.contract.kvm.templates import DiskRefusal
from tests.agent.templates.packages import MIB

HERE = Conditions(
    limits=Limits(1, 4, 32, 8000),
    emulator="/usr/bin/qemu-system-x86_64",
    network=Network("bridge", "vmbr0"),
    bridges=frozenset({"vmbr0", "vmbr1"}),
    networks=frozenset({"default"}),
    keymaps=frozenset({"et", "en-us"}),
    free_bytes=10_000 * MIB + 5,
    taken=frozenset({"vm1.qcow2"}),
    devices={
        "/dev/vg/good": Device(100 * MIB),
        "/dev/vg/small": Device(MIB),
        "/dev/vg/used": Device(100 * MIB, "/dev/vg/used is the disk of machine 'a'"),
    },
)
FIRST = PackedDisk("vmdisk1", PackedFile("system.vmdk", 1000), 64 * MIB, "vmdk", "virtio")
SECOND = PackedDisk("vmdisk2", PackedFile("data.qcow2", 1000), 32 * MIB, "qcow2", "sata")
MACHINE = Appliance(
    "web", Amount(2, 2, 16), Amount(512, 256, 4096), (FIRST, SECOND), (PackedNic("lan"),), keymap="et"
)
CASE = Case("templeit", "vm1", MACHINE, HERE)
KEY = "ssh-ed25519 " + "A" * 68 + " anna@example"


def case(**values: Any) -> Case:
    return msgspec.structs.replace(CASE, appliance=msgspec.structs.replace(MACHINE, **values))


def chosen(settings: dict[str, Any], of: Case = CASE) -> Choice:
    found = judged(settings, of)
    assert isinstance(found, Choice), found
    return found


def refused(settings: dict[str, Any], of: Case = CASE) -> dict[str, Any]:
    found = judged(settings, of)
    assert not isinstance(found, Choice)
    return dict(found)


def test_what_is_proposed_has_the_documents_keys_first_and_limits_of_both() -> None:
    shown = msgspec.to_builtins(proposal.settings(CASE))
    assert list(shown)[:20] == [
        "template_name", "vm_name", "domain_type", "virt_type", "memory", "arch", "vcpu", "boot_dev", "features",
        "clock_offset", "emulator", "on_poweroff", "on_reboot", "on_crash", "interface", "serial", "console",
        "mouse_bus", "graphics", "disks",
    ]  # fmt: skip
    assert (shown["memory"], shown["min_memory"], shown["max_memory"]) == ("512", "256", "4096")
    assert (shown["vcpu"], shown["min_vcpu"], shown["max_vcpu"]) == ("2", "2", "4")
    assert shown["interface"] == {"type": "bridge", "source_bridge": "vmbr0"}
    assert shown["graphics"] == {"type": "vnc", "port": "-1", "autoport": "yes", "keymap": "et"}
    assert shown["disks"] == [
        {
            "template_name": "system.vmdk", "template_format": "vmdk", "template_capacity": "67108864",
            "deploy_type": "file", "type": "file", "device": "disk", "source_file": "vm1-2.qcow2",
            "target_dev": "vda", "target_bus": "virtio", "capacity": "67108864", "min_capacity": "67108864",
            "max_capacity": str(10_000 * MIB),
        },
        {
            "template_name": "data.qcow2", "template_format": "qcow2", "template_capacity": "33554432",
            "deploy_type": "file", "type": "file", "device": "disk", "source_file": "vm1-3.qcow2",
            "target_dev": "sda", "target_bus": "sata", "capacity": "33554432", "min_capacity": "33554432",
            "max_capacity": str(10_000 * MIB),
        },
    ]  # fmt: skip


def test_the_bridge_of_the_templates_own_name_is_taken_where_there_is_one() -> None:
    assert proposal.interface(case(nics=(PackedNic("vmbr1"),))).source_bridge == "vmbr1"
    assert proposal.interface(case(nics=())).type == "none"
    nowhere = msgspec.structs.replace(CASE, here=msgspec.structs.replace(HERE, network=None))
    assert proposal.interface(nowhere).type == "none"


def test_what_is_proposed_is_legal_and_so_is_nothing_at_all() -> None:
    everything = chosen(msgspec.to_builtins(proposal.settings(CASE)))
    assert everything == chosen({})
    assert everything.disks == (
        ChosenDisk(0, "file", "vm1-2.qcow2", "vda", "virtio", 64 * MIB),
        ChosenDisk(1, "file", "vm1-3.qcow2", "sda", "sata", 32 * MIB),
    )
    assert everything.network == Network("bridge", "vmbr0")
    assert not everything.guest
    assert (everything.memory_mb, everything.vcpus, everything.linked) == (512, 2, False)


def test_what_is_legal_is_taken() -> None:
    found = chosen({
        "memory": 256, "vcpu": "4", "boot_dev": "cdrom", "features": ["acpi"], "clock_offset": "localtime",
        "on_reboot": "reboot", "on_crash": "destroy", "interface": {"type": "network", "source_bridge": "default"},
        "mouse_bus": "ps2", "graphics": {"type": "none"}, "clone": "linked", "hostname": "web-1.example.org",
        "password": "a secret", "ssh_keys": [KEY], "ip_address": "10.0.0.5/24", "gateway": "10.0.0.1",
        "nameserver": "10.0.0.2 10.0.0.3", "user_data": "#cloud-config\npackages: [vim]",
    })  # fmt: skip
    assert (found.memory_mb, found.vcpus, found.boot, found.features) == (256, 4, "cdrom", ("acpi",))
    assert (found.on_reboot, found.on_crash, found.clock) == ("restart", "destroy", "localtime")
    assert found.network == Network("network", "default")
    assert (found.mouse, found.keymap, found.linked) == ("ps2", None, True)
    assert (found.guest.passwd, found.guest.nameserver) == ("a secret", ("10.0.0.2", "10.0.0.3"))
    assert "a secret" not in repr(found)


def test_everything_that_is_wrong_is_told_at_once_in_the_documents_order() -> None:
    found = refused({
        "nonsense": 1, "graphics": {"type": "spice"},
        "disks": [{"template_name": "system.vmdk", "source_file": "/x"}],
        "virt_type": "xen", "memory": "1", "arch": "sparc", "vcpu": 99, "boot_dev": "fd", "features": ["vmx"],
        "clock_offset": "mars", "emulator": "/bin/sh", "on_poweroff": "explode", "on_reboot": 1, "on_crash": None,
        "interface": {"type": "bridge", "source_bridge": "x"}, "serial": {"type": "tcp"}, "console": "pty",
        "mouse_bus": "serial", "passwd": "a\nb",
    })  # fmt: skip
    documented = [
        "virt_type", "memory", "arch", "vcpu", "boot_dev", "features", "clock_offset", "emulator", "on_poweroff",
        "on_reboot", "on_crash", "interface", "serial", "console", "mouse_bus", "graphics", "disks",
    ]  # fmt: skip
    assert list(found) == [*documented, "passwd", "nonsense"]
    assert found["memory"] == 'Memory must be between 256 and 4096 MB, got "1"'
    assert found["emulator"] == 'The emulator must be /usr/bin/qemu-system-x86_64, got "/bin/sh"'
    assert found["interface"] == 'This host has no bridge "x"; there are: vmbr0, vmbr1'
    assert found["disks"][0].template_name == "system.vmdk"
    assert found["nonsense"].startswith("There is no such setting; there are template_name, vm_name")
    assert "a\\nb" not in str(found)


def test_a_template_that_needs_more_than_the_host_has_is_told_so_even_if_nothing_was_said() -> None:
    found = refused({}, case(memory_mb=Amount(16384, 10000, None), vcpus=Amount(8, 8, 16)))
    assert found == {
        "memory": "Memory: the template needs 10000 MB at least, this host can give 8000 MB",
        "vcpu": "CPU count: the template needs 8 at least, this host can give 4",
    }
    found = refused({}, case(memory_mb=Amount(9000)))
    assert found == {"memory": 'Memory must be between 32 and 8000 MB, got "9000"'}


def test_a_template_for_other_processors_is_refused() -> None:
    assert refused({}, case(arch="aarch64")) == {
        "arch": "The template is for aarch64 machines, and this host is x86_64"
    }


def entry(**values: Any) -> dict[str, Any]:
    return {"disks": [{"template_name": "system.vmdk", **values}]}


def test_a_disk_may_be_put_elsewhere_and_made_larger() -> None:
    found = chosen(entry(deploy_type="lvm", type="block", source_dev="/dev/vg/good", capacity=str(100 * MIB)))
    assert found.disks[0] == ChosenDisk(0, "lvm", "/dev/vg/good", "vda", "virtio", 100 * MIB)
    assert found.disks[1].deploy_type == "file"
    found = chosen(entry(source_file="nasdisk.img", target_bus="sata", capacity=64 * MIB + 1))
    assert found.disks[0] == ChosenDisk(0, "file", "nasdisk.img", "sda", "sata", 64 * MIB + 512)
    assert found.disks[1].target == "sdb"
    assert [disk.target for disk in chosen(entry(target_bus="sata", target_dev="sdb")).disks] == ["sdb", "sda"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"source_file": "vm1.qcow2"}, "an image vm1.qcow2 already"),
    ({"source_file": "../x"}, "a bare name"),
    ({"source_file": "json:{}"}, "a bare name"),
    ({"source_file": 7}, "a bare name"),
    ({"deploy_type": "floppy"}, "deploy_type must be file or lvm or physical"),
    ({"deploy_type": "lvm", "type": "block"}, "source_dev must be the device's path, got null"),
    ({"deploy_type": "lvm", "type": "block", "source_dev": "/dev/sda"}, '"/dev/sda" is no device that OMS may'),
    ({"deploy_type": "physical", "source_dev": "/etc/shadow"}, '"/etc/shadow" is no device'),
    ({"deploy_type": "lvm", "source_dev": "/dev/vg/used"}, "the disk of machine 'a'"),
    ({"deploy_type": "lvm", "source_dev": "/dev/vg/small"}, "has 1048576 bytes; the disk needs 67108864"),
    ({"type": "network"}, 'type must be file, got "network"'),
    ({"device": "cdrom"}, "device must be disk"),
    ({"target_bus": "usb"}, "target_bus must be virtio or scsi or sata or ide"),
    ({"target_dev": "vda'/><x"}, "target_dev on the bus virtio must be vda to vdz"),
    ({"target_dev": "hda"}, "must be vda to vdz"),
    ({"target_bus": "ide", "target_dev": "hde"}, "must be hda to hdd"),
    ({"capacity": "1"}, "capacity must be between 67108864 and"),
    ({"capacity": 2**63}, "capacity must be between"),
    ({"capacity": True}, "capacity must be between"),
    ({"evil": 1}, "A disk has no setting evil"),
]


@pytest.mark.parametrize(("values", "why"), WRONG, ids=lambda value: str(value)[:60])
def test_what_is_wrong_with_a_disk_is_told_of_that_disk(values: dict[str, Any], why: str) -> None:
    (told,) = refused(entry(**values))["disks"]
    assert told.template_name == "system.vmdk"
    assert why in told.error


def test_disks_that_are_not_there_or_are_said_twice_are_told() -> None:
    entries = [{"template_name": name} for name in ("system.vmdk", "system.vmdk", "other")] + [{}]
    told = refused({"disks": entries})["disks"]
    assert [refusal.template_name for refusal in told] == ["system.vmdk", "other", "null"]
    assert told[1] == DiskRefusal(
        "other", "The template has no disk of that name; its disks are: system.vmdk, data.qcow2"
    )
    for rubbish in ("x", [1], {"a": 1}, None):
        assert "a list of settings" in refused({"disks": rubbish})["disks"][0].error


def test_one_place_is_not_given_to_two_disks() -> None:
    both = [{"template_name": name, "source_file": "x.img"} for name in ("system.vmdk", "data.qcow2")]
    assert refused({"disks": both})["disks"][0].error.startswith("There is an image x.img already")
    place = {"deploy_type": "lvm", "type": "block", "source_dev": "/dev/vg/good"}
    both = [{"template_name": name, **place} for name in ("system.vmdk", "data.qcow2")]
    assert refused({"disks": both})["disks"][0].error == "/dev/vg/good is another disk's already"


def test_a_template_with_two_disks_in_one_file_is_told_apart_by_their_turn() -> None:
    twice = case(disks=(FIRST, msgspec.structs.replace(FIRST, id="vmdisk2")))
    entries = [{"template_name": "system.vmdk", "source_file": name} for name in ("a.img", "b.img")]
    assert [disk.place for disk in chosen({"disks": entries}, twice).disks] == ["a.img", "b.img"]


def test_only_files_stand_upon_the_templates() -> None:
    place = {"deploy_type": "lvm", "type": "block", "source_dev": "/dev/vg/good"}
    assert "legal is copy" in refused({**entry(**place), "clone": "linked"})["clone"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"hostname": "-x"}, "hostname"), ({"hostname": "a b"}, "hostname"), ({"hostname": "a" * 64}, "hostname"),
        ({"hostname": "x\n"}, "hostname"), ({"hostname": "²"}, "hostname"), ({"hostname": 1}, "hostname"),
        ({"passwd": "x" * 129}, "passwd"), ({"passwd": 7}, "passwd"), ({"password": "a\0b"}, "passwd"),
        ({"ssh_keys": "x"}, "ssh_keys"), ({"ssh_keys": [f"command=x {KEY}"]}, "ssh_keys"),
        ({"ssh_keys": [KEY + "\nx"]}, "ssh_keys"), ({"ssh_keys": [1]}, "ssh_keys"),
        ({"ssh_keys": [KEY] * 33}, "ssh_keys"),
        ({"ip_address": "10.0.0.5"}, "ip_address"), ({"ip_address": "127.0.0.1/8"}, "ip_address"),
        ({"ip_address": "10.0.0.5/33"}, "ip_address"), ({"ip_address": "fe80::1%$(id)/64"}, "ip_address"),
        ({"ip_address": 5}, "ip_address"), ({"gateway": "10.0.0.1"}, "gateway"),
        ({"ip_address": "dhcp", "gateway": "10.0.0.1"}, "gateway"),
        ({"ip_address": "10.0.0.5/8", "gateway": "x"}, "gateway"),
        ({"nameserver": "8.8.8.8\"; x"}, "nameserver"), ({"nameserver": ["1.1.1.1"] * 4}, "nameserver"),
        ({"user_data": "x"}, "user_data"), ({"user_data": "#!" + "x" * 70_000}, "user_data"),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_what_is_for_the_guest_is_checked_too(settings: dict[str, Any], name: str) -> None:
    assert list(refused(settings)) == [name]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from([*msgspec.to_builtins(proposal.settings(CASE)), "x"]), json_values, max_size=6)
)
def test_whatever_is_sent_is_taken_or_refused_in_words(settings: dict[str, Any]) -> None:
    found = judged(settings, CASE)
    if not isinstance(found, Choice):
        assert found
        for text in found.values():
            assert text
            assert all(isinstance(part, DiskRefusal) for part in text) if isinstance(text, list) else True
