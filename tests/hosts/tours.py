"""Stretches of the tour on which every method is called once at least in every way of writing a call."""

import libvirt

from tests.hosts.wire import Tour


def power(tour: Tour, domain: libvirt.virDomain) -> None:
    """A machine whose guest reacts to nothing, off when it begins and when it ends."""
    name = domain.name()
    for method in ("reboot_vm", "reset_vm", "suspend_vm", "resume_vm", "save_vm"):
        assert tour.refused(f"kvmservices.{method}", name).error["data"]["reason"] == "machine_is_off"
    assert tour.call("kvmservices.shutdown_vm", name) == 0
    assert tour.call("kvmservices.set_autostart_vm", name, True) == 0
    tour.call("kvmservices.start_vm", name)
    for method, state in (("suspend_vm", "paused"), ("resume_vm", "running"), ("reset_vm", "running")):
        assert tour.call(f"kvmservices.{method}", name) == 0
        described = tour.call("kvmservices.describe_vm", name)
        assert (described["state"], described["autostart"], described["saved"]) == (state, True, False)
    unheard = tour.refused("kvmservices.shutdown_vm", name, 1)
    assert (unheard.name, unheard.error["data"]["reason"]) == ("FuncManError", "guest_did_not_react")
    assert tour.call("kvmservices.reboot_vm", name, 1, True) == 0
    assert tour.call("kvmservices.save_vm", name) == 0
    assert tour.call("kvmservices.describe_vm", name)["saved"]
    assert tour.call("kvmservices.discard_saved_vm", name) == 0
    assert tour.call("kvmservices.set_autostart_vm", name, False) == 0
    assert tour.refused("kvmservices.shutdown_vm", name, 0).error["data"]["parameter"] == "seconds"
    assert tour.refused("kvmservices.set_autostart_vm", name, "yes").error["data"]["parameter"] == "autostart"
