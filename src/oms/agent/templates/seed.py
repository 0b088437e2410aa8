"""What a guest is told when it starts for the first time: cloud-init's NoCloud, a small CD with four files. Pure,
but for `write`.

Passwords stand in it as their hashes, never as they are. Each file is JSON, which is YAML too: no value can become
anything but a value.

Sources: cloud-init's documentation, "NoCloud", "Network config version 2", "Set passwords".
"""

import ipaddress
import json
import os
from pathlib import Path
from typing import Any, Final

from oms.agent import sha512_crypt
from oms.agent.host.process import run
from oms.agent.templates.guest_settings import DHCP, GuestSettings
from oms.contract.errors import FuncManError

VOLUME: Final = "cidata"
SECONDS: Final = 60.0
CLOUD_CONFIG: Final = "#cloud-config\n"


def contents(guest: GuestSettings, uuid: str, mac: str) -> dict[str, str]:
    """The files by name. `mac` is the address of the machine's first network interface, "" where it has none."""
    meta = {"instance-id": f"iid-{uuid}", "local-hostname": guest.hostname, "public-keys": list(guest.ssh_keys)}
    ours = CLOUD_CONFIG + json.dumps(_cloud_config(guest))
    files = {
        "meta-data": json.dumps({key: value for key, value in meta.items() if value}),
        "user-data": guest.user_data or ours,
    }
    if guest.user_data:
        files["vendor-data"] = ours  # what the user says himself goes before it
    if mac and (guest.ip_address or guest.nameserver):
        files["network-config"] = json.dumps(_network(guest, mac))
    return files


async def write(files: dict[str, str], directory: Path, target: Path) -> None:
    """Make the CD. `directory` is an empty one for the files, and nobody else's. Raises FuncManError, OSError."""
    for name, text in files.items():
        place = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(place, "w", encoding="utf-8") as file:
            file.write(text)
    argv = ["genisoimage", "-quiet", "-volid", VOLUME, "-joliet", "-rational-rock", "-output", str(target)]
    made = await run([*argv, "--", str(directory)], timeout=SECONDS)
    if made.exit:
        raise FuncManError(f"genisoimage could not make the CD for cloud-init: {made.words}")


def _cloud_config(guest: GuestSettings) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if guest.hostname:
        config |= {"hostname": guest.hostname.partition(".")[0], "manage_etc_hosts": True}
        config |= {"fqdn": guest.hostname} if "." in guest.hostname else {}
    if guest.passwd:
        hashed = sha512_crypt.hashed(guest.passwd)
        # The second form is for cloud-init before 22.3, which does not know the first.
        users = [{"name": "root", "password": hashed, "type": "hash"}]
        config["chpasswd"] = {"expire": False, "users": users, "list": [f"root:{hashed}"]}
    if guest.ssh_keys:
        config |= {"disable_root": False, "ssh_authorized_keys": list(guest.ssh_keys)}
    return config


def _network(guest: GuestSettings, mac: str) -> dict[str, Any]:
    interface: dict[str, Any] = {"match": {"macaddress": mac}}
    if guest.ip_address in ("", DHCP):
        interface["dhcp4"] = True
    else:
        interface["addresses"] = [guest.ip_address]
    if guest.gateway:
        interface[f"gateway{ipaddress.ip_address(guest.gateway).version}"] = guest.gateway
    if guest.nameserver:
        interface["nameservers"] = {"addresses": list(guest.nameserver)}
    return {"version": 2, "ethernets": {"nic0": interface}}
