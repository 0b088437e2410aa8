"""Parts of machines through libvirt. Where one call changes both definitions, libvirt sees to both or none."""

from typing import Any

import libvirt

from oms.agent.guests.libvirt.lines import Lines


class LibvirtDevices:
    """The port's methods for devices; see the Protocol `Devices`."""

    _lines: Lines

    async def attach(self, uuid: str, xml: str, *, live: bool, kept: bool) -> None:
        """Put a device in."""
        await self._lines.change(uuid, lambda domain: domain.attachDeviceFlags(xml, _flags(live, kept)))

    async def detach(self, uuid: str, xml: str, *, live: bool, kept: bool) -> None:
        """Take a device out."""
        await self._lines.change(uuid, lambda domain: _detach(domain, xml, _flags(live, kept)))

    async def update(self, uuid: str, xml: str, *, live: bool, kept: bool) -> None:
        """Change the medium in a drive."""
        await self._lines.change(uuid, lambda domain: domain.updateDeviceFlags(xml, _flags(live, kept)))


def _flags(live: bool, kept: bool) -> int:
    return live * int(libvirt.VIR_DOMAIN_AFFECT_LIVE) | kept * int(libvirt.VIR_DOMAIN_AFFECT_CONFIG)


def _detach(domain: Any, xml: str, flags: int) -> None:
    try:
        domain.detachDeviceFlags(xml, flags)
    except libvirt.libvirtError as error:
        # One that the guest was asked before to let go of, and has not yet, is being waited for.
        if error.get_error_code() not in {libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_OPERATION_FAILED}:
            raise
        if flags & libvirt.VIR_DOMAIN_AFFECT_CONFIG:
            raise
