"""The way through: a host joins, is asked, is changed, over the wire of 2011."""

import asyncio

from oms.contract.kvm import ListVms, Machine, MachineStats, StopVm
from tests.server.postgresql import BOTH
from tests.server.rig import Oms, answering

DATABASES = BOTH


async def test_a_host_joins_and_is_asked_and_changed_by_get_and_by_post(oms: Oms) -> None:
    machine = Machine(1, [], MachineStats(), "vm1", "vm1", "u1")
    host = await oms.sign_in_host("h1", {ListVms: answering([machine]), StopVm: answering(0)})
    admin = await oms.as_admin()
    for by in ("GET", "POST"):
        listed = await admin.answer("kvmservices.list_vms", 0, "h1", by=by)
        assert listed["type"] == "func"
        expected = {"status": 1, "tags": [], "stats": {}, "name": "vm1", "id": "vm1", "uuid": "u1"}
        assert listed["result"] == {"client": "h1", "result": [expected]}
        assert await admin.ask("kvm.stop_vm", 0, "h1", "vm1", by=by) == {"client": "h1", "result": 0}
    assert host.done == {"list_vms": 2, "stop_vm": 2}


async def test_a_server_that_has_ended_hears_nothing_more(oms: Oms) -> None:
    host = await oms.sign_in_host("h1")
    server = oms.bus.server
    await oms.stop()
    oms.bus.server = server
    oms.bus.disconnect(host.id)
    oms.bus.reconnect(host.id)
    await asyncio.sleep(0.05)  # whatever it began on the closed store would break by now
