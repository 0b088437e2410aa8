"""All that this agent can do: the tables of its rooms as one."""

from oms.agent import consoles
from oms.agent.context import Host
from oms.agent.images import handlers as images
from oms.agent.iso import handlers as iso
from oms.agent.kvm import description, devices, install, power, snapshots
from oms.agent.kvm import handlers as kvm
from oms.agent.kvmplusovz import handlers as kvmplusovz
from oms.agent.lvm import handlers as lvm
from oms.agent.moving import leaving, receiving
from oms.agent.netinterface import handlers as netinterface
from oms.agent.ovz import description as ovz_description
from oms.agent.ovz import handlers as ovz
from oms.agent.ovz import power as ovz_power
from oms.agent.ovz.moving import leaving as ovz_leaving
from oms.agent.ovz.moving import receiving as ovz_receiving
from oms.agent.passage import handlers as passage
from oms.agent.rootfs import arriving as rootfs_arriving
from oms.agent.rootfs import handlers as rootfs
from oms.agent.stats import handlers as stats
from oms.agent.templates import arriving
from oms.agent.templates import handlers as templates
from oms.contract.handlers import Handlers

ROOMS = (
    images, install, kvm, consoles, description, power, snapshots, devices, iso, lvm, templates, arriving,
    ovz, ovz_description, ovz_power, passage, leaving, receiving, stats,
    netinterface,
    kvmplusovz,
    rootfs, rootfs_arriving,
    ovz_leaving, ovz_receiving,
)  # fmt: skip

handlers: Handlers[Host] = Handlers()
for room in ROOMS:
    handlers.include(room.handlers)
