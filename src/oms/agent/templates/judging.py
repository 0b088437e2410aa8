"""Settings for a machine that is made of a template: what they come to, or which are refused. Pure.

Whatever `parse_template_for_vm` answers is accepted again as it is, names and limits included. What is left
out is as proposed, and held to the same limits: a template may need more than this host has.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from oms.agent.given import whole_number
from oms.agent.kvm.domain_xml import AtEnd, BootDevice
from oms.agent.kvm.network import Network
from oms.agent.templates import guest_settings, proposal
from oms.agent.templates.appliance import Feature
from oms.agent.templates.disk_settings import ChosenDisk, judged_disks
from oms.agent.templates.guest_settings import GuestSettings
from oms.agent.templates.proposal import Case, Range
from oms.agent.templates.words import Refused, one_of, shown
from oms.contract.kvm.templates import TemplateRefusals

ECHOED: Final = ("min_memory", "max_memory", "min_vcpu", "max_vcpu")
"""What is answered beside the settings, and may come back, whatever it was then."""
KINDS: Final[tuple[Literal["bridge", "network"], ...]] = ("bridge", "network")
ALIASES: Final = {"password": "passwd"}
"""Names by which the document's other calls have the same setting."""


class Choice(msgspec.Struct, frozen=True):
    """A machine as it was asked for. Memory in MB."""

    memory_mb: int
    vcpus: int
    boot: BootDevice
    features: tuple[Feature, ...]
    clock: Literal["utc", "localtime"]
    on_poweroff: AtEnd
    on_reboot: AtEnd
    on_crash: AtEnd
    network: Network | None
    mouse: Literal["ps2", "usb"]
    keymap: str | None
    """None: it has no screen."""
    linked: bool
    disks: tuple[ChosenDisk, ...]
    guest: GuestSettings


Judge = Callable[[Any, Case], Any]


def judged(given: Mapping[str, Any], case: Case) -> Choice | TemplateRefusals:
    """What was chosen, or every refused setting with a text that says what is legal."""
    wanted = {ALIASES.get(name, name): value for name, value in given.items()}
    proposed = msgspec.to_builtins(proposal.settings(case))
    refusals: TemplateRefusals = {}
    values: dict[str, Any] = {}
    for name, judge in JUDGES.items():
        try:
            values[name] = judge(wanted.get(name, proposed[name]), case)
        except Refused as refused:
            refusals[name] = refused.told
    _judge_together(values, refusals)
    for name in wanted:
        if name not in JUDGES and name not in ECHOED:
            refusals[name[:64]] = f"There is no such setting; there are {', '.join(JUDGES)}"
    return refusals or _choice(values)


def _choice(values: dict[str, Any]) -> Choice:
    return Choice(
        memory_mb=values["memory"],
        vcpus=values["vcpu"],
        boot=values["boot_dev"],
        features=values["features"],
        clock=values["clock_offset"],
        on_poweroff=values["on_poweroff"],
        on_reboot=values["on_reboot"],
        on_crash=values["on_crash"],
        network=values["interface"],
        mouse=values["mouse_bus"],
        keymap=values["graphics"],
        linked=values["clone"] == "linked",
        disks=values["disks"],
        guest=GuestSettings(**{name: values[name] for name in guest_settings.JUDGES}),
    )


def _judge_together(values: dict[str, Any], refusals: TemplateRefusals) -> None:
    """What is legal by itself but not beside the rest."""
    if values.get("gateway") and not guest_settings.is_fixed(values.get("ip_address", "")):
        refusals.setdefault("gateway", "A gateway needs an ip_address of the machine's own, as in 192.168.0.5/24")
    disks = values.get("disks", ())
    if values.get("clone") == "linked" and any(disk.deploy_type != "file" for disk in disks):
        refusals["clone"] = "Only disks with the deploy_type file can stand upon the template's; legal is copy"


def _amount(noun: str, unit: str) -> Callable[[Any, Range], int]:
    def judge(value: Any, legal: Range) -> int:
        if legal.least > legal.most:
            raise Refused(
                f"{noun}: the template needs {legal.least}{unit} at least, this host can give {legal.most}{unit}"
            )
        number = whole_number(value) if isinstance(value, str | int) else None
        if number is None or not legal.least <= number <= legal.most:
            raise Refused(f"{noun} must be between {legal.least} and {legal.most}{unit}, got {shown(value)}")
        return number

    return judge


_memory, _vcpu = _amount("Memory", " MB"), _amount("CPU count", "")


def _exactly(noun: str, legal: Callable[[Case], str]) -> Judge:
    def judge(value: Any, case: Case) -> str:
        return one_of(noun, value, (legal(case),))

    return judge


def _one_of(noun: str, *legal: str) -> Judge:
    return lambda value, _case: one_of(noun, value, legal)


def _at_end(noun: str) -> Judge:
    """`reboot` is the document's word for `restart`."""
    return lambda value, _case: one_of(noun, "restart" if value == "reboot" else value, ("destroy", "restart"))


def _features(value: Any, _case: Case) -> tuple[str, ...]:
    legal = ("acpi", "apic", "pae")
    if not isinstance(value, list) or any(feature not in legal for feature in value):
        raise Refused(f"Features are a list of {', '.join(legal)}; got {shown(value)}")
    return tuple(dict.fromkeys(value))


def _arch(value: Any, case: Case) -> str:
    if case.appliance.arch not in (proposal.ARCH, "i686"):
        raise Refused(f"The template is for {case.appliance.arch[:20]} machines, and this host is {proposal.ARCH}")
    return one_of("Architecture", value, (proposal.ARCH, "i686"))


def _interface(value: Any, case: Case) -> Network | None:
    if not isinstance(value, dict) or value.keys() - {"type", "source_bridge"}:
        raise Refused(f"An interface has a type and a source_bridge; got {shown(value)}")
    if value.get("type") == "none":
        return None
    kind = one_of("An interface's type", value.get("type", KINDS[0]), KINDS)
    there = case.here.bridges if kind == "bridge" else case.here.networks
    name = value.get("source_bridge")
    if not isinstance(name, str) or name not in there:
        listed = ", ".join(sorted(there)) or "none"
        raise Refused(f"This host has no {kind} {shown(name)}; there are: {listed}")
    return Network(kind, name)


def _of_the_guest(judge: Callable[[Any], Any]) -> Judge:
    return lambda value, _case: judge(value)


def _port(noun: str) -> Judge:
    def judge(value: Any, _case: Case) -> None:
        legal = msgspec.to_builtins(proposal.PORT)
        given = {key: str(part) for key, part in value.items()} if isinstance(value, dict) else None
        if given is None or {**legal, **given} != legal:
            raise Refused(f"The only {noun} is {legal}; got {shown(value)}")

    return judge


def _graphics(value: Any, case: Case) -> str | None:
    if not isinstance(value, dict) or value.keys() - {"type", "port", "autoport", "keymap"}:
        raise Refused(f"Graphics have a type, port, autoport and keymap; got {shown(value)}")
    for name, legal in proposal.FOUND_BY_ITSELF.items():
        if str(value.get(name, legal)) != legal:
            raise Refused(
                f"The screen's port is found by itself: {name} must be {legal!r}, got {shown(value[name])}"
            )
    kind = one_of("The screen's type", value.get("type", proposal.VNC), (proposal.VNC, "none"))
    keymap = value.get("keymap", "")
    if not isinstance(keymap, str) or (keymap and keymap not in case.here.keymaps):
        raise Refused(f"There is no keymap {shown(keymap)}; there are {', '.join(sorted(case.here.keymaps))}")
    return keymap if kind == proposal.VNC else None


JUDGES: Final[dict[str, Judge]] = {
    "template_name": _exactly("The template", lambda case: case.template),
    "vm_name": _exactly("The machine", lambda case: case.machine),
    "domain_type": _exactly("The domain type", lambda _case: proposal.KVM),
    "virt_type": _exactly("The type of virtualisation", lambda _case: proposal.HVM),
    "memory": lambda value, case: _memory(value, case.memory_mb),
    "arch": _arch,
    "vcpu": lambda value, case: _vcpu(value, case.vcpus),
    "boot_dev": _one_of("The boot device", "hd", "cdrom", "network"),
    "features": _features,
    "clock_offset": _one_of("The clock's offset", "utc", "localtime"),
    "emulator": _exactly("The emulator", lambda case: case.here.emulator),
    "on_poweroff": _at_end("on_poweroff"),
    "on_reboot": _at_end("on_reboot"),
    "on_crash": _at_end("on_crash"),
    "interface": _interface,
    "serial": _port("serial port"),
    "console": _port("console"),
    "mouse_bus": _one_of("The mouse's bus", "ps2", "usb"),
    "graphics": _graphics,
    "disks": judged_disks,
    "clone": _one_of("The way of cloning", "copy", "linked"),
    **{name: _of_the_guest(judge) for name, judge in guest_settings.JUDGES.items()},
}
"""Each setting with what judges it, in the order of the document."""
