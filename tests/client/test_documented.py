"""What docs/sdk.md shows can be run as it stands there, against a server and an honest host."""

import asyncio
import re
from pathlib import Path

import pytest

from oms.client import Client
from oms.contract import kvm, user
from oms.contract.errors import NoSuchMachine
from tests.server.door import Door
from tests.server.rig import PASSWORD, answering

PAGE = Path(__file__).parents[2] / "docs" / "sdk.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
LIMITS = kvm.SystemLimits("2", "1", "32", "4096")


async def power(op: kvm.StartVm | kvm.StopVm) -> int:
    if op.kvm_vm_name != "demo":
        raise NoSuchMachine(f"There is no machine {op.kvm_vm_name}.")
    return 0


@pytest.fixture
async def token(door: Door) -> str:
    """An administrator's, of an OMS with one host."""
    await door.oms.sign_in_host(
        "node1",
        {
            kvm.ListVms: answering([kvm.Machine(1, [], kvm.MachineStats(), "demo", "demo")]),
            kvm.ListVmsStatus: answering({}),
            kvm.ParseSystemMinMax: answering(LIMITS),
            kvm.StartVm: power,
            kvm.StopVm: power,
        },
    )
    async with Client(door.url, ca_sha256=door.server.ca_sha256) as client:
        await client.login("admin", PASSWORD)
        made = await client.call(user.CreateToken("docs", "admin"))
    return made.token


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_each_example_but_that_of_files_runs(
    place: int, door: Door, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = EXAMPLES[place]
    for words, meant in (
        ("https://oms:8000", door.url),
        ("FINGERPRINT", door.server.ca_sha256),
        ('"anna", "PASSWORD"', f'"admin", "{PASSWORD}"'),
        ('"TOKEN"', f'"{token}"'),
    ):
        shown = shown.replace(words, meant)
    capsys.readouterr()
    # In a thread of its own, as the server of this test runs in this one.
    await asyncio.to_thread(exec, compile(shown, str(PAGE), "exec"), {"__name__": "example"})
    out = capsys.readouterr().out
    wanted = ("node1 connected\ndemo 1\n", "max_vcpu='2'", "There is no machine nothing.\n")
    assert wanted[place] in out
