"""Stretches of the tour on which every method is called once at least in every way of writing a call."""

import os
from pathlib import Path

import libvirt

from tests.agent.templates.packages import small_template
from tests.hosts import uploads
from tests.hosts.kvm_machines import disk_xml, small_xml
from tests.hosts.net_host import Place
from tests.hosts.stack import NAME, Stack
from tests.hosts.wire import Tour
from tests.waiting import until


def power(tour: Tour, domain: libvirt.virDomain) -> None:
    """A machine whose guest reacts to nothing, off when it begins and when it ends."""
    name = domain.name()
    for method in ("reboot_vm", "reset_vm", "suspend_vm", "resume_vm", "save_vm"):
        assert tour.refused(f"kvmservices.{method}", name).error["data"]["reason"] == "machine_is_off"
    assert tour.call("kvmservices.shutdown_vm", name) == 0
    assert tour.call("kvmservices.set_autostart_vm", name, True) == 0
    tour.call("kvmservices.start_vm", name)
    for method, state in (("suspend_vm", "paused"), ("resume_vm", "running"), ("reset_vm", "running")):
        assert tour.call(f"kvmservices.{method}", name) == 0
        described = tour.call("kvmservices.describe_vm", name)
        assert (described["state"], described["autostart"], described["saved"]) == (state, True, False)
    assert tour.call("kvmservices.save_vm", name) == 0
    assert tour.call("kvmservices.describe_vm", name)["saved"]
    assert tour.call("kvmservices.discard_saved_vm", name) == 0
    assert tour.call("kvmservices.set_autostart_vm", name, False) == 0
    assert NAME in tour.refused("kvmservices.migrate_vm", name, NAME).error["message"]
    away = tour.refused("kvmservices.migrate_vm", name, "no-such-host")
    assert away.error["data"]["reason"] == "host_unavailable"
    assert tour.refused("kvmservices.shutdown_vm", name, 0).error["data"]["parameter"] == "seconds"
    assert tour.refused("kvmservices.set_autostart_vm", name, "yes").error["data"]["parameter"] == "autostart"


def snapshots(tour: Tour, virt: libvirt.virConnect, images: Path) -> None:
    """A machine of its own, with a disk that snapshots can lie in."""
    tour.call("kvmservices.create_file_based_image", "kept.qcow2", 8)
    disk = disk_xml(images / "kept.qcow2").replace("'raw'", "'qcow2'")
    virt.defineXML(small_xml("kept", devices=disk))
    assert tour.call("kvmservices.list_snapshots", "kept") == []
    assert tour.call("kvmservices.create_snapshot", "kept", "off") == 0
    tour.call("kvmservices.start_vm", "kept")
    assert tour.call("kvmservices.create_snapshot", "kept", "on", "while it <ran>") == 0
    off, on = tour.call("kvmservices.list_snapshots", "kept")
    assert (off["name"], off["state"], off["memory_kb"], off["current"]) == ("off", "shutdown", 0, False)
    assert (on["name"], on["state"], on["parent"], on["description"]) == (
        "on", "running", "off", "while it <ran>",
    )  # fmt: skip
    assert on["memory_kb"] > 0
    taken = tour.refused("kvmservices.create_snapshot", "kept", "on")
    assert taken.error["data"]["reason"] == "already_there"
    assert tour.call("kvmservices.revert_snapshot", "kept", "off") == 0
    assert tour.call("kvmservices.describe_vm", "kept")["state"] == "shutdown"
    assert tour.call("kvmservices.delete_snapshot", "kept", "off") == 0
    gone = tour.refused("kvmservices.revert_snapshot", "kept", "off")
    assert gone.error["data"]["reason"] == "not_there"
    for name in ("1", "../on", "-d", "on;off", "o" * 64):
        assert (
            tour.refused("kvmservices.create_snapshot", "kept", name).error["data"]["parameter"] == "snapshot_name"
        )
    control = tour.refused("kvmservices.create_snapshot", "kept", "third", "bell \x07")
    assert control.error["data"]["parameter"] == "description"
    assert tour.call("kvmservices.delete_vm", "kept") == 0
    assert not (images / "kept.qcow2").exists()


def templates(tour: Tour, oms: Stack) -> None:
    """What is packed becomes a machine; the package is brought as it would be from elsewhere."""
    directory = oms.templates
    content = small_template(directory, "templeit").read_bytes()
    (directory / "templeit.ova").unlink()
    begun = tour.call("kvmservices.upload_template", "templeit", len(content))
    _bring(tour, oms, begun["address"], content)
    assert tour.call("kvmservices.list_templates") == ["templeit"]
    settings = tour.call("kvmservices.parse_template_for_vm", "templeit", "test_vm_1")
    assert (settings["memory"], settings["min_memory"], settings["vm_name"]) == ("64", "48", "test_vm_1")
    gone = tour.refused("kvmservices.parse_template_for_vm", "nothing", "test_vm_1")
    assert gone.error["data"]["reason"] == "not_there"
    (directory / "broken.ova").write_bytes(b"no archive")
    broken = tour.refused("kvmservices.parse_template_for_vm", "broken", "test_vm_1")
    assert broken.error["data"]["reason"] == "unusable"
    (directory / "broken.ova").unlink()
    wrong = {"memory": "1", "disks": [{"template_name": "disk1.vmdk", "source_file": "/etc/passwd"}]}
    refused = tour.call("kvmservices.deploy_template_for_vm", "templeit", "test_vm_1", wrong)
    assert list(refused) == ["memory", "disks"]
    assert tour.call("kvmservices.deploy_template_for_vm", "templeit", "test_vm_1", settings) == {}
    assert tour.call("kvmservices.start_vm", "test_vm_1") == 0
    shown = tour.call("kvmservices.parse_vm_for_template", "test_vm_1", "packed")
    assert [Path(disk["disk_path"]).name for disk in shown["disks"]] == ["test_vm_1.qcow2"]
    assert list(tour.call("kvmservices.create_template_from_vm", "test_vm_1", "packed", {"memory": 0})) == [
        "memory"
    ]
    assert tour.call("kvmservices.create_template_from_vm", "test_vm_1", "packed", shown) == {}
    assert tour.call("kvmservices.list_templates") == ["packed", "templeit"]
    assert tour.call("kvmservices.delete_template", "packed") == 0
    gone = tour.refused("kvmservices.delete_template", "packed")
    assert gone.error["data"]["reason"] == "not_there"
    assert tour.call("kvmservices.delete_vm", "test_vm_1") == 0


def devices(tour: Tour, virt: libvirt.virConnect, oms_iso: Path, place: Place) -> None:
    """A machine of its own, off, with a CD drive, on a host with a bridge."""
    drive = "<disk type='file' device='cdrom'><target dev='hda' bus='ide'/><readonly/></disk>"
    virt.defineXML(small_xml("parts", devices=drive))
    tour.call("kvmservices.create_file_based_image", "part.qcow2", 1)
    (oms_iso / "part.iso").write_bytes(bytes(2048))
    mac = "52:54:00:00:00:77"
    assert tour.call("kvmservices.attach_disk", "parts", "part.qcow2") == "vda"
    used = tour.refused("kvmservices.attach_disk", "parts", "part.qcow2")
    assert used.error["data"]["reason"] == "in_use"
    missing = tour.refused("kvmservices.attach_nic", "parts", "bridge", "nosuch0", "virtio", mac)
    assert missing.error["data"]["reason"] == "not_there"
    assert tour.call("kvmservices.change_cdrom", "parts", "part.iso") == 0
    described = tour.call("kvmservices.describe_vm", "parts")
    assert {(disk["target"], disk["format"]) for disk in described["disks"]} == {("vda", "qcow2"), ("hda", "raw")}
    assert tour.call("kvmservices.change_cdrom", "parts", "") == 0
    assert tour.call("kvmservices.detach_disk", "parts", "vda") == 0
    place.ip("link", "add", "br0", "type", "bridge")
    assert tour.call("kvmservices.attach_nic", "parts", "bridge", "br0", "virtio", mac) == mac
    assert tour.call("kvmservices.describe_vm", "parts")["nics"][0]["mac"] == mac
    assert tour.call("kvmservices.detach_nic", "parts", mac) == 0
    place.ip("link", "del", "br0")
    assert tour.refused("kvmservices.detach_nic", "parts", mac).error["data"]["reason"] == "not_there"
    for method, words, wrong in (
        ("attach_disk", ("../part.qcow2",), "diskimage_name"),
        ("attach_disk", ("part.qcow2", "nvme"), "bus"),
        ("attach_nic", ("bridge", "-x"), "network_name"),
        ("attach_nic", ("bridge", "br0", "virtio", "01:00:00:00:00:00"), "mac_address"),
        ("detach_disk", ("vda/../x",), "drive"),
        ("change_cdrom", ("/etc/passwd",), "cdrom_iso"),
    ):
        assert tour.refused(f"kvmservices.{method}", "parts", *words).error["data"]["parameter"] == wrong
    tour.call("kvmservices.delete_file_based_image", "part.qcow2")
    tour.call("kvmservices.delete_vm", "parts")
    (oms_iso / "part.iso").unlink()


def fleet(tour: Tour) -> None:
    """One host that is there, with the machine `openfiler`; nothing has happened since."""
    (host,) = tour.call("fleetservices.list_hosts")["hosts"]
    assert (host["name"], host["state"]) == (NAME, "connected")
    until(lambda: tour.call("fleetservices.list_guests", "openfiler")["total"] == 1)
    (guest,) = tour.call("fleetservices.list_guests", "openfiler")["guests"]
    assert (guest["kind"], guest["name"], guest["host"]) == ("kvm", "openfiler", NAME)
    assert tour.call("fleetservices.describe_requests") == []
    assert tour.call("fleetservices.summarize")["hosts"] == {"signed": 1, "connected": 1, "waiting": 0}
    now = tour.call("eventservices.list_events")["next"]
    assert tour.call("eventservices.list_events", now, 10, 0, ["host.connected"])["events"] == []


def tags(tour: Tour) -> None:
    """The host and its machine `openfiler` bear tags; the host's type is changed, and changed back."""
    for place in ((), ("openfiler",)):
        assert tour.call("tagservices.add_tag", "old name", NAME, *place) == 0
    assert tour.call("tagservices.edit_freeform_tag_name", "old name", "web") == 0
    assert tour.call("tagservices.list_tags")[-1] == {"tag": "web", "level": 3}
    assert [found["type"] for found in tour.call("tagservices.list_tagged", "web")] == ["host", "kvm"]
    (machine,) = tour.call("kvmservices.list_vms", "memory", "tag:web")
    assert (machine["name"], machine["tags"]) == ("openfiler", ["web"])
    assert tour.call("kvmservices.list_vms", "tag:old name") == []
    (host,) = tour.call("funcservices.list_signed", "web")
    kind = host["tags"][0]["tag"]
    for new in ("physical", kind):
        assert tour.call("tagservices.change_host_type", [{"name": NAME, "type": new}]) == 0
        assert tour.call("funcservices.list_signed")[0]["tags"][0] == {"tag": new, "level": 1}
    wrong = tour.refused("tagservices.change_host_type", [{"name": NAME, "type": "toaster"}])
    assert (wrong.name, wrong.error["data"]["unknown"]) == ("UnknownHostException", ["toaster"])
    reserved = tour.refused("tagservices.add_tag", kind, NAME)
    assert reserved.error["data"]["reason"] == "reserved_tag"
    assert tour.call("tagservices.remove_tag", "web", NAME) == 0
    assert tour.call("tagservices.remove_tag", "web", NAME, "openfiler", "kvm") == 0
    gone = tour.refused("tagservices.edit_freeform_tag_name", "web", "net")
    assert gone.error["data"]["reason"] == "not_there"


def disk_images(tour: Tour, oms: Stack) -> None:
    """Made, brought, adopted, and deleted again."""
    assert tour.call("kvmservices.list_file_based_images") == []
    assert tour.call("kvmservices.create_file_based_image", "testimage.img", 10) == 0
    assert tour.call("kvmservices.create_file_based_image", "raw.img", 10, "raw") == 0
    assert tour.call("kvmservices.list_file_based_images") == ["raw.img", "testimage.img"]
    assert tour.call("kvmservices.list_file_based_images_used") == []
    (oms.images / "brought.img").write_bytes(bytes(1024 * 1024))
    assert tour.call("kvmservices.adopt_file_based_image", "brought.img", "raw") == 0
    described = tour.call("kvmservices.describe_file_based_images")
    assert [(image["name"], image["format"], image["size_kb"]) for image in described] == [
        ("brought.img", "raw", 1024), ("raw.img", "raw", 10240), ("testimage.img", "qcow2", 10240),
    ]  # fmt: skip
    taken = tour.refused("kvmservices.create_file_based_image", "raw.img", 11)
    assert taken.error["data"]["reason"] == "already_there"
    for name in ("brought.img", "raw.img", "testimage.img"):
        assert tour.call("kvmservices.delete_file_based_image", name) == [0, "", ""]
    gone = tour.refused("kvmservices.delete_file_based_image", "raw.img")
    assert gone.error["data"]["reason"] == "not_there"
    begun = tour.call("kvmservices.upload_file_based_image", "a.img", "raw", 5)
    _bring(tour, oms, begun["address"])
    assert tour.call("kvmservices.delete_file_based_image", "a.img") == [0, "", ""]


def statistics(tour: Tour) -> None:
    """Of this very machine."""
    told = tour.call("statsservices.get_stats")
    assert list(told) == [
        "cpu", "df", "kernel", "memory", "network", "uptime", "bandwidth", "osrelease", "swap", "iowait",
    ]  # fmt: skip
    assert told["kernel"] == os.uname().release
    assert list(tour.call("statsservices.get_stats", "memory", "cpu_load")) == ["cpu", "memory"]
    refused = tour.refused("statsservices.get_stats", "memory", "temperature").error
    assert refused["data"]["parameter"] == "stats_argument"
    assert "temperature" not in refused["message"] or "iowait" in refused["message"]
    past = tour.call("statsservices.get_history", 60, "1s", "cpu", "load")
    assert (past["step_seconds"], list(past["series"])) == (1, ["cpu", "load"])
    assert len(past["series"]["cpu"]["average"]) == 60
    assert tour.refused("statsservices.get_history", 0).error["data"]["parameter"] == "seconds"


def iso_images(tour: Tour, oms: Stack) -> None:
    """Brought and deleted again; refused from elsewhere."""
    begun = tour.call("isoservices.upload_image", "a.iso", 5)
    _bring(tour, oms, begun["address"])
    assert "a.iso" in tour.call("isoservices.list_images")
    assert {"name": "a.iso", "size_kb": 0, "machines": []} in tour.call("isoservices.describe_images")
    inside = "http://127.0.0.1:1/x"
    for refused in (
        tour.refused("isoservices.fetch_image", "b.iso", inside, "0" * 64),
        tour.refused("kvmservices.fetch_file_based_image", "b.img", "raw", inside, "0" * 64),
        tour.refused("kvmservices.fetch_template", "b", inside, "0" * 64),
    ):
        assert refused.error["data"]["reason"] == "not_fetched"
    for method, name in (("isoservices.copy_image", "none.iso"), ("kvmservices.copy_template", "none")):
        assert tour.refused(method, name, NAME).error["data"]["reason"] == "not_there"
    away = tour.refused("isoservices.copy_image", "none.iso", "no-such-host")
    assert away.error["data"]["reason"] == "host_unavailable"
    assert tour.call("isoservices.delete_image", "a.iso") == 0


def _bring(tour: Tour, oms: Stack, address: str, content: bytes = b"12345") -> None:
    headers = {"Authorization": f"Bearer {tour.sessid}", "Content-Length": str(len(content))}
    assert uploads.request(oms, "PUT", address, headers, [content]).body["state"] == "done"


def consoles(tour: Tour) -> None:
    """On a host that has no SSH server: what consoles are on one that has, stands in a file of its own."""
    for method in ("set_up_vnc_connection", "remove_vnc_connection"):
        assert tour.refused(f"kvmservices.{method}", NAME, "nobody").name.startswith("VNCRemo")
    assert tour.call("kvmservices.list_session_vnc_connections") == []
    assert tour.refused("kvmservices.check_session_vnc_connection", 6801).name == "VNCConnectionCheckError"
    assert tour.call("kvmservices.remove_session_vnc_connections") == 0
    assert tour.refused("sshservices.set_up_ssh_connection", NAME).name == "SSHRemoteSetUpError"
    assert tour.call("sshservices.list_session_ssh_connections") == []
    assert tour.refused("sshservices.check_session_ssh_connection", 6900).name == "SSHConnectionCheckError"
    assert tour.call("sshservices.remove_session_ssh_connections") == 0
    assert tour.refused("sshservices.trust_host_keys", NAME).name == "SSHRemoteSetUpError"
    nothing = "0" * 32
    assert tour.refused("consoleservices.open_console", NAME, "ssh").name == "FuncManError"
    assert tour.refused("consoleservices.open_console", NAME, "tty", "x").error["data"]["parameter"] == "kind"
    assert tour.call("consoleservices.list_consoles") == []
    for method in ("close_console", "take_over_console", "share_console"):
        assert tour.refused(f"consoleservices.{method}", nothing).error["data"]["reason"] == "not_there"
    assert tour.call("consoleservices.list_recordings") == {"recordings": [], "before": ""}
    for method in ("read_recording", "delete_recording"):
        assert tour.refused(f"consoleservices.{method}", nothing).error["data"]["reason"] == "not_there"


def network(tour: Tour, place: Place) -> None:
    """A bridge and a route of its own, on a host with a network of its own."""
    place.card("eth3")
    own, mask = ("10.44.0.1", "255.255.255.0"), "255.255.0.0"
    assert tour.call("netinterfaceservices.add_bridge", "br44", *own, "0.0.0.0") == 0
    assert tour.call("netinterfaceservices.add_bridge_member", "br44", "eth3") == 0
    assert tour.call("netinterfaceservices.list_bridges") == [{"bridge": "br44", "members": ["eth3"]}]
    names = [one["name"] for one in tour.call("netinterfaceservices.list_interfaces")]
    assert {"lo", "eth0", "eth3", "br44"} <= set(names)
    route, other = ("10.45.0.0", mask, "10.44.0.9"), ("10.46.0.0", mask, "0.0.0.0")
    assert tour.call("netinterfaceservices.add_static_route", *route, "br44") == 0
    taken = tour.refused("netinterfaceservices.add_static_route", *route, "br44")
    assert taken.error["data"]["reason"] == "already_there"
    assert tour.call("netinterfaceservices.edit_static_route", *route, "br44", *other) == 0
    shown = [one for one in tour.call("netinterfaceservices.show_routing_table") if one["interface"] == "br44"]
    assert [(one["destination"], one["router"], one["flags"]) for one in shown] == [
        ("10.44.0.0", "*", "U"), ("10.46.0.0", "*", "U"),
    ]  # fmt: skip
    assert tour.call("netinterfaceservices.delete_static_route", *other, "br44") == 0
    assert tour.call("netinterfaceservices.edit_bridge", "br44", "10.44.0.2", "255.255.255.0", "10.44.0.9") == 0
    assert tour.call("netinterfaceservices.get_default_gateway", "br44") == "10.44.0.9"
    assert tour.call("netinterfaceservices.edit_static_gateway", place.near, "eth0") == 0
    assert tour.call("netinterfaceservices.delete_bridge_member", "br44", "eth3") == 0
    foreign = tour.refused("netinterfaceservices.add_bridge", "br45", *own, "192.168.7.1")
    assert foreign.error["data"]["reason"] == "not_fitting"
    assert tour.call("netinterfaceservices.delete_bridge", "br44") == 0
    assert tour.refused("netinterfaceservices.delete_bridge", "br44").error["data"]["reason"] == "not_there"
    place.ip("link", "del", "eth3")
