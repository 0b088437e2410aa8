"""The words of OVF that we read and write.

Sources: DMTF DSP0243 (Open Virtualization Format 1.1), its envelope schema DSP8023; DSP0004 (units); the values of
CIM_ResourceAllocationSettingData.ResourceType.
"""

from typing import Final

from oms.agent.kvm.domain_xml import Bus, NicModel
from oms.agent.templates.appliance import ForeignFormat

OVF: Final = "http://schemas.dmtf.org/ovf/envelope/1"
OVF_2: Final = "http://schemas.dmtf.org/ovf/envelope/2"
RASD: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
VMW: Final = "http://www.vmware.com/schema/ovf"
VBOX: Final = "http://www.virtualbox.org/ovf/machine"
OPENNODE: Final = "http://opennode.activesys.org/schema/ovf/opennodens/1"
"""OpenNode's first templates of 2010."""
OURS: Final = "urn:opennode-oms:template:1"
"""What no other product needs to know, in a section that none is asked to understand."""

CPU: Final = 3
MEMORY: Final = 4
IDE: Final = 5
SCSI: Final = 6
ETHERNET: Final = 10
DISK: Final = 17
STORAGE: Final = 20
"""Any other storage controller: SATA, by its subtype."""

ADDRESSES: Final[dict[ForeignFormat, str]] = {
    "vmdk": "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized",
    "qcow2": "http://www.gnome.org/~markmc/qcow-image-format.html",
    "vdi": "vdi",
    "raw": "raw",
}
"""What names a format. There is no list of these, only usage; for some not even that."""

FORMATS: Final[dict[str, ForeignFormat]] = {"vmdk": "vmdk", "vdi": "vdi", "qcow": "qcow2", "raw": "raw"}
"""A format by a word in what names it."""
ENDINGS: Final[dict[str, ForeignFormat]] = {
    "vmdk": "vmdk", "vdi": "vdi", "qcow2": "qcow2", "qcow": "qcow2", "raw": "raw", "img": "raw",
}  # fmt: skip
"""The same by a file's ending, where the format is not named."""

BUSES: Final[dict[int, Bus]] = {IDE: "ide", SCSI: "sata", STORAGE: "sata"}
"""Where a guest made for other hardware finds its disk again. SCSI controllers of other products are no hardware
that runs well here, and every system that drives them drives SATA."""

NIC_MODELS: Final[dict[str, NicModel]] = {
    "e1000": "e1000", "e1000e": "e1000e", "virtio": "virtio", "virtio-net": "virtio", "rtl8139": "rtl8139",
}  # fmt: skip
USUAL_NIC: Final[NicModel] = "e1000"
"""For any other model: what most systems bring a driver for."""

OLD_UNITS: Final[dict[str, int]] = {
    "byte": 1, "kilobyte": 1024, "megabyte": 1024**2, "gigabyte": 1024**3, "terabyte": 1024**4,
    "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4,
}  # fmt: skip
"""Names of units from before DSP0004 had a grammar; still written."""
