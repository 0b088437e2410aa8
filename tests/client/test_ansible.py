"""The inventory plugin in Ansible itself, against a server with hosts and guests."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oms.client import Client
from oms.contract import tag, user
from tests.docs import blocks
from tests.server.door import Door
from tests.server.rig import PASSWORD
from tests.server.rosters import joined, line

PAGE = blocks.ROOT / "docs" / "sdk.md"


def ran(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command of Ansible's, by somebody who has nothing of it but what he installed."""
    program = Path(sys.executable).with_name(words[0])
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [program, *words[1:]],
        cwd=blocks.ROOT,
        env={**own, "HOME": str(home), "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1", **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """His, with the collection installed as the page says."""
    (typed,) = (block.text for block in blocks.of(PAGE) if "ansible-galaxy" in block.text)
    done = ran(tmp_path, *typed.split())
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_the_plugin_tells_what_it_takes(home: Path) -> None:
    shown = ran(home, "ansible-doc", "-t", "inventory", "opennode.oms.fleet")
    assert shown.returncode == 0, shown.stderr
    assert "ca_sha256" in shown.stdout


async def test_hosts_and_guests_are_an_inventory(door: Door, home: Path) -> None:
    for host, guests in (
        ("node1", (line(1, "web"), line(101, "db", kind="openvz"))),
        ("node2", (line(3, "web"),)),
    ):
        await joined(door.oms, host, *guests)
    async with Client(door.url, ca_sha256=door.server.ca_sha256) as client:
        await client.login("admin", PASSWORD)
        await client.call(tag.AddTag("rack 7", "node1"))
        token = (await client.call(user.CreateToken("ansible", "viewer"))).token
    (shown,) = (block.text for block in blocks.of(PAGE) if block.kind == "yaml")
    file = home / "fleet.oms.yml"
    file.write_text(shown.replace("https://oms:8000", door.url).replace("FINGERPRINT", door.server.ca_sha256))
    listed = ("ansible-inventory", "-i", str(file), "--list")
    done = await asyncio.to_thread(ran, home, *listed, OMS_TOKEN=token)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["oms_hosts"]["hosts"] == ["node1", "node2"]
    assert found["oms_guests"]["hosts"] == ["db", "web.node1", "web.node2"]
    assert found["host_node1"]["hosts"] == ["db", "web.node1"]
    assert found["kind_openvz"]["hosts"] == ["db"]
    assert found["tag_rack_7"]["hosts"] == ["node1"]
    assert found["state_connected"]["hosts"] == ["node1", "node2"]
    assert found["_meta"]["hostvars"]["db"]["oms_memory_mb"] == 128 * 101
    wrong = await asyncio.to_thread(ran, home, *listed, OMS_TOKEN="oms_nothing")
    assert wrong.returncode != 0
    assert "OMS does not tell of its hosts: the token is not valid any more" in wrong.stderr
