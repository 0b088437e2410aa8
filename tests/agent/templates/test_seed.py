"""What a guest is told: in cloud-init's words, no password as it is, and nothing that was not said."""

import json
import subprocess
from pathlib import Path
from typing import Any

from oms.agent import sha512_crypt
from oms.agent.templates import seed
from oms.agent.templates.guest_settings import GuestSettings

UUID, MAC = "6a1b6f44-9c7d-4a61-8b1c-0d0d3f0a5a11", "52:54:00:12:34:56"
KEY = "ssh-ed25519 " + "A" * 68


def cloud_config(text: str) -> dict[str, Any]:
    front, _, rest = text.partition("\n")
    assert front == "#cloud-config"
    found: dict[str, Any] = json.loads(rest)
    return found


def test_only_what_was_said_is_told() -> None:
    files = seed.contents(GuestSettings(hostname="web1"), UUID, MAC)
    assert set(files) == {"meta-data", "user-data"}
    assert json.loads(files["meta-data"]) == {"instance-id": f"iid-{UUID}", "local-hostname": "web1"}
    assert cloud_config(files["user-data"]) == {"hostname": "web1", "manage_etc_hosts": True}


def test_a_password_is_told_as_its_hash_in_both_forms() -> None:
    files = seed.contents(GuestSettings(passwd="a secret"), UUID, MAC)
    assert "a secret" not in str(files)
    told = cloud_config(files["user-data"])["chpasswd"]
    hashed = told["users"][0]["password"]
    assert told == {
        "expire": False,
        "users": [{"name": "root", "password": hashed, "type": "hash"}],
        "list": [f"root:{hashed}"],
    }
    assert hashed == sha512_crypt.hashed("a secret", hashed.split("$")[2])


def test_what_the_user_says_himself_stands_before_ours() -> None:
    files = seed.contents(GuestSettings(hostname="web1.example.org", user_data="#!/bin/sh\necho"), UUID, MAC)
    assert files["user-data"] == "#!/bin/sh\necho"
    assert cloud_config(files["vendor-data"]) == {
        "hostname": "web1", "fqdn": "web1.example.org", "manage_etc_hosts": True,
    }  # fmt: skip


def test_keys_are_for_root_and_for_the_systems_own_user() -> None:
    files = seed.contents(GuestSettings(ssh_keys=(KEY,)), UUID, MAC)
    assert json.loads(files["meta-data"])["public-keys"] == [KEY]
    assert cloud_config(files["user-data"]) == {"disable_root": False, "ssh_authorized_keys": [KEY]}


def test_the_network_is_told_by_the_address_of_the_interface() -> None:
    fixed = GuestSettings(ip_address="10.0.0.5/24", gateway="10.0.0.1", nameserver=("10.0.0.2",))
    assert json.loads(seed.contents(fixed, UUID, MAC)["network-config"]) == {
        "version": 2,
        "ethernets": {
            "nic0": {
                "match": {"macaddress": MAC},
                "addresses": ["10.0.0.5/24"],
                "gateway4": "10.0.0.1",
                "nameservers": {"addresses": ["10.0.0.2"]},
            }
        },
    }
    modern = GuestSettings(ip_address="2001:db8::5/64", gateway="2001:db8::1")
    interface = json.loads(seed.contents(modern, UUID, MAC)["network-config"])["ethernets"]["nic0"]
    assert interface["gateway6"] == "2001:db8::1"
    asked = json.loads(seed.contents(GuestSettings(ip_address="dhcp"), UUID, MAC)["network-config"])
    assert asked["ethernets"]["nic0"]["dhcp4"] is True
    assert "network-config" not in seed.contents(fixed, UUID, "")


async def test_the_cd_has_the_files_under_the_names_that_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    files = seed.contents(GuestSettings(hostname="web1", user_data="#!/bin/sh", ip_address="dhcp"), UUID, MAC)
    await seed.write(files, tmp_path / "seed", tmp_path / "seed.iso")
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "seed").iterdir())
    for name, text in files.items():
        assert read_from(tmp_path / "seed.iso", name) == text
    assert (tmp_path / "seed.iso").read_bytes()[0x8028:0x802E] == b"cidata"


def read_from(iso: Path, name: str) -> str:
    command = ["isoinfo", "-R", "-i", str(iso), "-x", f"/{name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
