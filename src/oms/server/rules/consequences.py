"""What a job that has ended may have changed beside what its host tells by itself."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from oms.contract.event.fleet import (
    DoneBy,
    GuestChange,
    GuestChanged,
    ImagesChanged,
    IsosChanged,
    NetworksChanged,
    TemplatesChanged,
    VolumesChanged,
)
from oms.contract.event.shape import EventGuest, GuestKind
from oms.contract.operation import HostOperation
from oms.contract.registry import OF_JOBS
from oms.server.rules.sights import Happened

GUESTS: Final = frozenset({"kvm_vm_name", "kvm_name", "container_id", "vm_name", "ct_id"})
"""Parameters that name the guest which a method changes."""
KINDS: Final[Mapping[str, GuestKind]] = {"kvmservices": "kvm", "ovzservices": "openvz"}
DISKS: Final = frozenset({
    "create_vm_from_iso", "deploy_template_for_vm", "delete_vm", "migrate_vm", "receive_machine", "attach_disk",
    "detach_disk", "create_snapshot", "revert_snapshot", "delete_snapshot",
})  # fmt: skip
"""Changes of machines that make, use, or delete images or volumes."""
UNSEEN: Final = frozenset({
    "update_vm_settings", "attach_disk", "detach_disk", "attach_nic", "detach_nic", "change_cdrom",
    "create_snapshot", "revert_snapshot", "delete_snapshot", "save_vm", "discard_saved_vm", "set_autostart_vm",
})  # fmt: skip
"""Changes of guests of which hypervisors tell nobody, or not of all of them."""


def guest(method: str, target: str, notes: Mapping[str, str]) -> EventGuest | None:
    """The guest that a job is about, as its caller called it; None where it is about something else."""
    facts = OF_JOBS[method].facts if method in OF_JOBS else None
    if facts is None or facts.target not in GUESTS or facts.lane.name not in KINDS:
        return None
    kind = KINDS[facts.lane.name]
    if kind == "openvz":
        return EventGuest(kind, notes.get("vm_id", "") or target, target)
    return EventGuest(kind, notes.get("uuid", "").lower(), target)


def called(op: HostOperation[Any]) -> tuple[GuestKind, str] | None:
    """Of which kind the guest is that an operation is about, and what it is called there: its id, or its name."""
    facts = op.facts
    if facts.target not in GUESTS or facts.lane.name not in KINDS:
        return None
    kind, target = KINDS[facts.lane.name], str(getattr(op, facts.target))
    return kind, target.lower() if kind == "kvm" else target


def consequences(method: str, about: EventGuest | None) -> Iterator[Happened]:
    """What is to be looked at anew."""
    service, _, name = method.partition(".")
    facts = OF_JOBS[method].facts if method in OF_JOBS else None
    is_machine = about is not None and about.type == "kvm"
    if about is not None and name in UNSEEN:
        yield Happened(GuestChanged, GuestChange("", ["definition"]), about)
    if name.endswith("_file_based_image") or (is_machine and name in DISKS):
        yield Happened(ImagesChanged, DoneBy(method))
    if service == "lvmservices" or (is_machine and name in DISKS):
        yield Happened(VolumesChanged, DoneBy(method))
    if name == "create_template_from_vm" or (facts is not None and facts.target == "template_name"):
        yield Happened(TemplatesChanged, DoneBy(method))
    if service == "isoservices":
        yield Happened(IsosChanged, DoneBy(method))
    if service == "netinterfaceservices":
        yield Happened(NetworksChanged, DoneBy(method))
