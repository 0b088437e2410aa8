"""An answer of which a part may be missing, as callers get it."""

from typing import Any

from oms.client.calls import answered
from oms.contract import kvmplusovz
from oms.contract.kvm import MachineStats
from oms.contract.kvmplusovz import Guest
from oms.contract.partly import Missing, Partly
from tests.server.rig import Oms, answering

GUEST = Guest(1, [], MachineStats(), "mail", "129", "openvz")
AWAY = Missing("kvm", "FuncManError", "hypervisor_unavailable", "libvirt is away")


async def told(oms: Oms, name: str, answer: Partly[list[Guest]], cache_timeout: int = 0) -> dict[str, Any]:
    admin = await oms.as_admin()
    await oms.sign_in_double(name, {kvmplusovz.ListVms: answering(answer)})
    whole = await admin.answer("kvmplusovzservices.list_vms", cache_timeout, name)
    result: dict[str, Any] = whole["result"]
    return result


async def test_who_is_missing_stands_beside_the_result_where_old_clients_do_not_look(oms: Oms) -> None:
    result = await told(oms, "h1", Partly([GUEST], (AWAY,)))
    assert list(result) == ["client", "result", "missing"]
    assert result["result"] == [
        {"status": 1, "tags": [], "stats": {}, "name": "mail", "id": "129", "type": "openvz"}
    ]
    assert result["missing"] == [
        {"type": "kvm", "name": "FuncManError", "reason": "hypervisor_unavailable", "message": "libvirt is away"}
    ]


async def test_where_nothing_is_missing_nothing_is_said_of_it(oms: Oms) -> None:
    assert list(await told(oms, "h1", Partly([GUEST]))) == ["client", "result"]


def test_the_client_has_both() -> None:
    op = kvmplusovz.ListVms()
    guest = b'{"status":1,"tags":[],"stats":{},"name":"mail","id":"129","type":"openvz"}'
    missing = b'{"type":"kvm","name":"FuncManError","reason":"","message":"away"}'
    whole = b'{"jsonrpc":"2.0","id":1,"result":{"type":"func","result":{"client":"h1","result":[%b]%b}}}'
    assert answered(op, whole % (guest, b"")) == Partly([GUEST])
    found = answered(op, whole % (guest, b',"missing":[%b]' % missing))
    assert found == Partly([GUEST], (Missing("kvm", "FuncManError", "", "away"),))
