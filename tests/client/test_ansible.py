"""The inventory plugin in Ansible itself, against a server with hosts and guests."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from oms.client import Client
from oms.contract import tag, user
from tests.server.door import Door
from tests.server.rig import PASSWORD
from tests.server.rosters import joined, line

ROOT = Path(__file__).parents[2] / "packaging" / "ansible"


def listed(directory: Path, config: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What `ansible-inventory --list` says of that inventory file."""
    collections = directory / "collections" / "ansible_collections"
    if not collections.exists():
        collections.mkdir(parents=True)
        (collections / "opennode").symlink_to(ROOT / "opennode")
    file = directory / "fleet.oms.yml"
    file.write_text(config)
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(file), "--list"]
    own = {
        "HOME": str(directory),
        "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"),
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
        "ANSIBLE_INVENTORY_ENABLED": "opennode.oms.fleet",
    }
    return subprocess.run(
        command, env={**os.environ, **own, **more}, capture_output=True, text=True, timeout=120, check=False
    )


async def test_hosts_and_guests_are_an_inventory(door: Door, tmp_path: Path) -> None:
    for host, guests in (
        ("node1", (line(1, "web"), line(101, "db", kind="openvz"))),
        ("node2", (line(3, "web"),)),
    ):
        await joined(door.oms, host, *guests)
    async with Client(door.url, ca_sha256=door.server.ca_sha256) as client:
        await client.login("admin", PASSWORD)
        await client.call(tag.AddTag("rack 7", "node1"))
        token = (await client.call(user.CreateToken("ansible", "viewer"))).token
    config = f"plugin: opennode.oms.fleet\nurl: {door.url}\nca_sha256: {door.server.ca_sha256}\n"
    done = await asyncio.to_thread(listed, tmp_path, config, OMS_TOKEN=token)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["oms_hosts"]["hosts"] == ["node1", "node2"]
    assert found["oms_guests"]["hosts"] == ["db", "web.node1", "web.node2"]
    assert found["host_node1"]["hosts"] == ["db", "web.node1"]
    assert found["kind_openvz"]["hosts"] == ["db"]
    assert found["tag_rack_7"]["hosts"] == ["node1"]
    assert found["state_connected"]["hosts"] == ["node1", "node2"]
    assert found["_meta"]["hostvars"]["db"]["oms_memory_mb"] == 128 * 101
    wrong = await asyncio.to_thread(listed, tmp_path, config, OMS_TOKEN="oms_nothing")
    assert wrong.returncode != 0
    assert "OMS does not tell of its hosts" in wrong.stderr
