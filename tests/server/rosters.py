"""Hosts with guests, as their agents tell of them."""

import msgspec

from oms.contract.internal import GuestLine, GuestNews, GuestState, Hypervisor, Roster
from oms.contract.kvm import ListVmsStatus
from tests.server.double import HostDouble
from tests.server.rig import Oms, answering
from tests.waiting import eventually

UUID = "0f0e0d0c-0000-4000-8000-0000000000{:02x}"


def line(number: int, name: str, state: GuestState = "running", kind: Hypervisor = "kvm") -> GuestLine:
    ident = UUID.format(number) if kind == "kvm" else str(number)
    return GuestLine(kind, ident, name, state, number % 4 + 1, 128 * number)


async def tell(host: HostDouble, news: GuestNews) -> None:
    await host.wire.publish("guests", msgspec.json.encode(news))


async def joined(oms: Oms, name: str, *guests: GuestLine) -> HostDouble:
    host = await oms.sign_in_double(name, {ListVmsStatus: answering({})})
    await eventually(lambda: host.asked["agent.ask_guests"])
    host.roster = Roster("s", 1, ("kvm", "openvz"), guests)
    oms.bus.disconnect(host.id)
    oms.bus.reconnect(host.id)
    await eventually(lambda: host.asked["agent.ask_guests"] >= 2)
    return host
