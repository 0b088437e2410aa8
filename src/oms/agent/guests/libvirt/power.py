"""Machines started, stopped, paused and saved: plain functions on a domain, which block and run in threads."""

from typing import Any, Final

import libvirt

from oms.agent.guests import Asking
from oms.agent.guests.libvirt.calls import is_in

BY: Final[dict[Asking, int]] = {
    "button": libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
    "agent": libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
}


def start(domain: Any) -> None:
    """Start it; libvirt restores a saved state by itself, and one that was saved while it was paused goes on."""
    try:
        domain.create()
    except libvirt.libvirtError as error:
        if not _is_so_already(error, domain, "running", "paused"):
            raise
        return
    if is_in(domain, "paused"):
        resume(domain)


def start_once(domain: Any, *, xml: str) -> None:
    """Start it from another definition for this run; libvirt keeps the one that it has for the next."""
    if not domain.isActive():
        try:
            domain.connect().createXML(xml, libvirt.VIR_DOMAIN_START_VALIDATE)
        except libvirt.libvirtError:
            if not domain.isActive():
                raise


def resume(domain: Any) -> None:
    """Let a paused machine go on, or wake one that sleeps."""
    number, _reason = domain.state()
    try:
        if number == libvirt.VIR_DOMAIN_PMSUSPENDED:
            domain.pMWakeup()
        else:
            domain.resume()
    except libvirt.libvirtError as error:
        if not _is_so_already(error, domain, "running"):
            raise


def stop(domain: Any) -> None:
    """Take its power away."""
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID or domain.isActive():
            raise


def ask_off(domain: Any, *, how: Asking) -> None:
    """Ask the guest to shut down; that it went meanwhile is what was wanted."""
    try:
        domain.shutdownFlags(BY[how])
    except libvirt.libvirtError:
        if domain.isActive():
            raise


def reset(domain: Any) -> None:
    """Press its reset button."""
    domain.reset(0)


def pause(domain: Any) -> None:
    """Have it stand still."""
    try:
        domain.suspend()
    except libvirt.libvirtError as error:
        if not _is_so_already(error, domain, "paused"):
            raise


def save(domain: Any) -> None:
    """Put its memory on the disk, and end it."""
    domain.managedSave(0)


def forget_saved(domain: Any) -> None:
    """Drop what was put there."""
    if domain.hasManagedSaveImage(0):
        domain.managedSaveRemove(0)


def _is_so_already(error: libvirt.libvirtError, domain: Any, *wanted: str) -> bool:
    return error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID and is_in(domain, *wanted)
