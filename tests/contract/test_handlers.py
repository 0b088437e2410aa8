"""The table of handlers: what fits in type and name goes in, once."""

import re
from pathlib import Path

import pytest
from mypy import api

from oms.contract.func import HostName, ListRequests
from oms.contract.handlers import Handlers
from oms.contract.kvm import StartVm, StopVm

ROOT = Path(__file__).parents[2]
SNIPPET = """
from oms.contract.auth import Checksessid
from oms.contract.func import HostName, ListRequests
from oms.contract.handlers import Handlers
from oms.contract.kvm import StartVm, StopVm

table = Handlers[str]()


@table.handles(StartVm)
async def start_vm(op: StartVm, ctx: str) -> int:
    return len(op.kvm_vm_name) + len(ctx)


@table.handles(ListRequests)
async def list_requests(op: ListRequests, ctx: str) -> list[HostName]:
    return []


@table.handles(StopVm)  # refused: answers a text
async def stop_vm(op: StopVm, ctx: str) -> str:
    return ""


@table.handles(StopVm)  # refused: takes another operation
async def stop_vm_2(op: StartVm, ctx: str) -> int:
    return 0


@table.handles(StopVm)  # refused: takes another context
async def stop_vm_3(op: StopVm, ctx: int) -> int:
    return 0


@table.handles(StopVm)  # refused: not asynchronous
def stop_vm_4(op: StopVm, ctx: str) -> int:
    return 0


@table.handles(ListRequests)  # refused: a list of something else
async def list_requests_2(op: ListRequests, ctx: str) -> list[str]:
    return []
"""


def test_mypy_refuses_a_handler_of_another_type_and_nothing_else(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET, encoding="utf-8")
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    said, trouble, _ = api.run([*settings, "--no-error-summary", "--hide-error-context", str(snippet)])
    assert not trouble
    wrong = {int(line) for line in re.findall(r"snippet\.py:(\d+): error", said)}
    marked = {n for n, line in enumerate(SNIPPET.splitlines(), 1) if "# refused" in line}
    assert wrong == marked, said


def test_a_handler_is_called_as_its_method() -> None:
    async def start(op: StartVm, ctx: str) -> int:
        return 0

    with pytest.raises(TypeError, match=r"the handler of kvmservices\.start_vm must be called so, not start"):
        Handlers[str]().handles(StartVm)(start)


async def start_vm(op: StartVm, ctx: str) -> int:
    return 0


async def stop_vm(op: StopVm, ctx: str) -> int:
    return 0


async def list_requests(op: ListRequests, ctx: str) -> list[HostName]:
    return []


def test_an_operation_has_one_handler() -> None:
    table = Handlers[str]()
    table.handles(StartVm)(start_vm)
    with pytest.raises(TypeError, match=r"kvmservices\.start_vm has a handler already"):
        table.handles(StartVm)(start_vm)


def test_tables_are_put_together() -> None:
    first, second = Handlers[str](), Handlers[str]()
    first.handles(StartVm)(start_vm)
    second.handles(StopVm)(stop_vm)
    first.include(second)
    assert set(first) == {StartVm, StopVm}
    assert first.find(StopVm) is stop_vm
    assert first.find(ListRequests) is None
    with pytest.raises(TypeError, match=r"two handlers: kvmservices\.stop_vm"):
        first.include(second)
    second.handles(ListRequests)(list_requests)
    assert first.find(ListRequests) is None, "tables are not tied together"
