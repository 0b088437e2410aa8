"""Virtual machines through libvirt, and the only place that knows it.

`machines` is the port's methods, with `snapshots`, `copies`, `devices` and `moves`; `lines` are the connections
that they are made on, each kept by a `line`; `calls`, `power` and `use` are what is asked on them; `definition`
reads and changes libvirt's XML; and `doorkeeper` reads what another host's libvirtd says.
"""

from oms.agent.guests.libvirt.machines import LibvirtMachines

__all__ = ["LibvirtMachines"]
