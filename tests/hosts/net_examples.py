"""What the host's network is before each of the document's own calls of NetInterfaceService."""

import subprocess

from tests.hosts.net_host import Place

OF_ROUTES = ("add_static_route", "edit_static_route", "delete_static_route", "edit_static_gateway",
             "get_default_gateway", "show_routing_table")  # fmt: skip


def prepare(place: Place, method: str) -> None:
    """The interfaces that the call names, in a state in which it can be done."""
    for link in ("vmbr0", "testbridge", "eth3"):
        subprocess.run(["ip", "-n", place.name, "link", "del", link], check=False, capture_output=True)
    place.ip("route", "replace", "default", "via", place.near)
    if method in OF_ROUTES:
        _bridge(place, "vmbr0", "192.168.1.40/24")
    if method in ("edit_static_route", "delete_static_route"):
        place.ip("route", "add", "192.168.3.0/24", "dev", "vmbr0", "proto", "static")
    if method == "get_default_gateway":
        place.ip("route", "add", "default", "via", "192.168.1.1", "dev", "vmbr0", "metric", "1024")
    if method == "list_bridges":
        _bridge(place, "vmbr0", "192.168.1.40/24")
        place.card("eth3")
        place.ip("link", "set", "eth3", "master", "vmbr0")
    if method in ("add_bridge_member", "delete_bridge_member", "delete_bridge", "edit_bridge"):
        _bridge(place, "testbridge", "192.168.1.40/24")
    if method in ("add_bridge_member", "delete_bridge_member"):
        place.card("eth3")
    if method == "delete_bridge_member":
        place.ip("link", "set", "eth3", "master", "testbridge")


def _bridge(place: Place, name: str, address: str) -> None:
    place.ip("link", "add", name, "type", "bridge")
    place.ip("addr", "add", address, "dev", name)
    place.ip("link", "set", name, "up")
