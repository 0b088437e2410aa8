"""How machines ended, as far as libvirt does not say it.

libvirt says that a guest ended its machine, and not whether it turned it off or restarted it where a restart is
defined to be the end. qemu says that in the monitor's event SHUTDOWN, which libvirt passes on. It is remembered
until the machine starts again; who was not listening at that moment does not know, and says so.

Source: QEMU's QMP reference, `SHUTDOWN` and `ShutdownCause`; libvirt's virDomainShutoffReason.
"""

from collections.abc import Callable
from typing import Any, Final, Literal

import libvirt
import libvirt_qemu
import msgspec

from oms.agent.guests import End

BY_REASON: Final[dict[int, End]] = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: "guest",
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: "destroyed",
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: "crashed",
}


class _Shutdown(msgspec.Struct, frozen=True):
    """qemu's words. `guest`: it was the guest's own wish."""

    guest: bool = False
    reason: str = ""


class Ends:
    """What qemu said of machines that have ended. Heard in libvirt's thread, asked in others."""

    def __init__(self) -> None:
        self._told: dict[str, Literal["poweroff", "reboot"]] = {}

    def listen(self, connection: Any) -> Callable[[], None]:
        """Hear of all machines on this connection, where its hypervisor is qemu; answers what to do in parting."""
        try:
            number = libvirt_qemu.qemuMonitorEventRegister(connection, None, "SHUTDOWN", self._hear, None, 0)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
            return lambda: None
        return lambda: libvirt_qemu.qemuMonitorEventDeregister(connection, number)

    def _hear(
        self, _connection: Any, domain: Any, _event: str, _seconds: int, _micros: int, said: Any, _: Any
    ) -> None:
        try:
            shutdown = msgspec.json.decode(said or b"{}", type=_Shutdown)
        except msgspec.MsgspecError:
            return
        if shutdown.guest:
            self._told[domain.UUIDString()] = "reboot" if shutdown.reason == "guest-reset" else "poweroff"

    def forget(self, uuid: str) -> None:
        """It runs again, or is no more."""
        self._told.pop(uuid, None)

    def of(self, uuid: str, reason: int) -> End:
        """How a machine ended that is off for libvirt's `reason`."""
        end = BY_REASON.get(reason, "")
        return self._told.get(uuid, end) if end == "guest" else end
