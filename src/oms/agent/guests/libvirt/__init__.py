"""Virtual machines through libvirt, and the only place that knows it.

`machines` is the port's methods, with `snapshots`, `copies` and `devices`; `lines` are the connections that they
are made on, each kept by a `line`; `calls`, `power` and `use` are what is asked on them; and `definition` reads
and changes libvirt's XML.
"""

from oms.agent.guests.libvirt.machines import LibvirtMachines

__all__ = ["LibvirtMachines"]
