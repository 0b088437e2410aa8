"""Definitions that come from another host: this host's own files and networks, and nothing else that names one."""

from pathlib import Path

import pytest

from oms.agent.foreign_xml import tree
from oms.agent.moving.domain import Here, Place, adapted
from oms.contract.errors import FuncManError, NotSupported, NotThere, Unusable

UUID = "11111111-2222-4333-8444-555555555555"
HERE = Here({"qemu"}, "/usr/bin/qemu-here", {"br0"}, {"default"})
PLACES = {"vda": Place(Path("/here/images/a.img"), whole=True), "hda": Place(Path("/here/iso/b.iso"), whole=False)}
DISK = (
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/there/a.img'/>"
    "<backingStore type='file'><source file='/there/base.img'/></backingStore><target dev='vda'/></disk>"
)
CD = "<disk type='file' device='cdrom'><source file='/there/b.iso'/><target dev='hda'/><readonly/></disk>"


def definition(devices: str = "", *, system: str = "", more: str = "", kind: str = "qemu", name: str = "m") -> str:
    return (
        f"<domain type='{kind}'><name>{name}</name><uuid>{UUID}</uuid><memory unit='KiB'>32768</memory>"
        f"<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>{system}</os>{more}"
        f"<devices><emulator>/usr/bin/qemu-there</emulator>{DISK}{CD}{devices}</devices></domain>"
    )


def made(text: str) -> str:
    return adapted(text, "m", UUID, PLACES, HERE)


def test_files_and_programs_are_those_of_this_host() -> None:
    text = made(definition())
    root = tree(text)
    assert [source.get("file") for source in root.iterfind("devices/disk/source")] == [
        "/here/images/a.img",
        "/here/iso/b.iso",
    ]
    assert [emulator.text for emulator in root.iterfind("devices/emulator")] == ["/usr/bin/qemu-here"]
    assert "/there" not in text
    whole, shared = root.findall("devices/disk")
    assert [len(whole.findall("backingStore")), len(list(whole.iterfind("backingStore/*")))] == [1, 0]
    assert not shared.findall("backingStore"), "what a file stands upon is found in it, where it is the same file"


def test_what_each_host_has_of_its_own_is_left_out() -> None:
    text = made(
        definition(
            "<interface type='bridge'><source bridge='br0' portid='x'/><target dev='vnet7'/>"
            "<script path='/bin/sh'/><backend tap='/dev/tap'/></interface>"
            "<serial type='pty'><source path='/dev/pts/1'/></serial>"
            "<channel type='unix'><source mode='bind' path='/run/x'/><target type='virtio' name='a'/></channel>",
            more="<seclabel type='dynamic'/><metadata><x:y xmlns:x='urn:x'>/anything</x:y></metadata>",
        )
    )
    for word in ("vnet7", "/bin/sh", "/dev/tap", "/dev/pts", "/run/x", "seclabel", "portid"):
        assert word not in text
    assert '<source bridge="br0" />' in text
    assert "/anything" in text


@pytest.mark.parametrize(
    "devices",
    [
        "<hostdev mode='subsystem' type='pci'><source/></hostdev>",
        "<filesystem type='mount'><source dir='/'/><target dir='root'/></filesystem>",
        "<shmem name='x'/>",
        "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
        "<smartcard mode='host'/>",
        "<disk type='block' device='disk'><source dev='/dev/sda'/><target dev='vdb'/></disk>",
        "<disk type='network' device='disk'><source protocol='nbd' name='x'/><target dev='vdb'/></disk>",
        "<disk type='file' device='lun'><source file='/x'/><target dev='vdb'/></disk>",
        "<disk type='file' device='disk'><source file='/etc/shadow'/><target dev='vdb'/></disk>",
        "<disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='hdb'/></disk>",
        "<disk type='file' device='disk'><target dev='vdb'/></disk>",
        "<serial type='file'><source path='/etc/cron.d/x'/></serial>",
        "<serial type='dev'><source path='/dev/ttyS0'/></serial>",
        "<console type='tcp'><source mode='connect' host='x' service='1'/></console>",
        "<channel type='unknown'/>",
        "<redirdev bus='usb' type='tcp'><source mode='connect' host='x' service='1'/></redirdev>",
        "<interface type='direct'><source dev='eth0' mode='bridge'/></interface>",
        "<interface type='hostdev'/>",
        "<interface type='vhostuser'><source type='unix' path='/x' mode='client'/></interface>",
        "<graphics type='sdl'/>",
        "<graphics type='vnc' socket='/x'/>",
        "<graphics type='vnc'><listen type='socket' socket='/x'/></graphics>",
        "<graphics type='vnc'><listen type='network' network='default'/></graphics>",
        "<rng model='virtio'><backend model='egd' type='tcp'><source host='x' service='1'/></backend></rng>",
        "<rng model='virtio'><backend model='random'>/etc/shadow</backend></rng>",
        "<input type='evdev'><source dev='/dev/input/event0'/></input>",
        "<audio id='1' type='file' path='/etc/x'/>",
        "<memory model='nvdimm'><source><path>/etc/x</path></source></memory>",
        "<video><driver vgaconf='on' name='../../x'/></video>",
        "<panic model='isa'><x file=' /etc/x '/></panic>",
    ],
)  # fmt: skip
def test_devices_of_a_host_are_refused(devices: str) -> None:
    with pytest.raises((NotSupported, Unusable)):
        made(definition(devices))


@pytest.mark.parametrize(
    "system",
    ["<kernel>/boot/vmlinuz</kernel>", "<initrd>/x</initrd>", "<loader>/x</loader>", "<nvram>/x</nvram>",
     "<acpi/>", "<init>/bin/sh</init>"],
)  # fmt: skip
def test_what_is_started_from_a_file_of_its_host_is_refused(system: str) -> None:
    with pytest.raises(NotSupported, match="os/"):
        made(definition(system=system))


@pytest.mark.parametrize(
    "more",
    [
        "<qemu:commandline xmlns:qemu='urn:q'><qemu:arg value='-S'/></qemu:commandline>",
        "<commandline/>",
        "<memoryBacking><hugepages/></memoryBacking>",
        "<numatune/>",
        "<launchSecurity type='sev'/>",
        "<blkiotune/>",
        "<bootloader>/x</bootloader>",
        "<devices/>",
    ],
)  # fmt: skip
def test_what_is_in_no_list_is_refused(more: str) -> None:
    with pytest.raises(FuncManError):
        made(definition(more=more))


@pytest.mark.parametrize(
    "text",
    [
        definition(name="other"),
        definition().replace(UUID, UUID.replace("1", "9")),
        definition().replace("<domain", "<network", 1).replace("</domain>", "</network>"),
        definition(kind="kvm"),
        "",
        "<domain",
        "<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/shadow'>]>" + definition(),
    ],
)
def test_another_machine_and_no_machine_are_refused(text: str) -> None:
    with pytest.raises((Unusable, NotSupported)):
        made(text)


@pytest.mark.parametrize("kind", ["bridge", "network"])
def test_a_network_that_this_host_does_not_have_is_named(kind: str) -> None:
    with pytest.raises(NotThere, match=f"no {kind} 'elsewhere'"):
        made(definition(f"<interface type='{kind}'><source {kind}='elsewhere'/></interface>"))
