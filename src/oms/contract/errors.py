"""Every error that a caller of OMS can see, and how each crosses a wire by its name.

    OmsError
    ├── CallError                       origin 1: the call never reached a method
    │   ├── InternalError               0   (only where no named error can be told)
    │   ├── IllegalService              1
    │   ├── ServiceNotFound             2
    │   ├── MethodNotFound              4
    │   ├── ParameterMismatch           5
    │   └── PermissionDenied            6
    └── ApplicationError                origin 2: codes 1000 and up, never reused
        ├── FuncManError                1000  the host, or what runs on it, could not do it
        │   ├── NoSuchMachine                 no machine of that name
        │   │   └── NoSuchContainer           no container of that id
        │   ├── MachineIsOff                  only a running machine can do that
        │   │   └── ContainerIsOff            only a running container can do that
        │   ├── GuestDidNotReact              what runs in the machine was asked, and let the time pass
        │   ├── NotThere                      no image, volume, snapshot, device of that name
        │   ├── AlreadyThere                  the name is taken
        │   ├── InUse                         somebody needs it; the message names who
        │   ├── NoSpace                       the host's disk has not enough room, or ran out of it
        │   ├── NoMemory                      the host has not enough memory for a machine now
        │   ├── Unusable                      an image or package that is damaged, unsafe, or of another kind
        │   ├── NotFetched                    a file could not be had from where it was to come
        │   ├── NotRecorded                   a console that is to be recorded cannot be
        │   ├── HostUnavailable               the host is not connected, or not signed here
        │   ├── HostBusy                      too many calls wait for that host
        │   ├── HypervisorUnavailable         the host is there, its hypervisor is not
        │   ├── NotSupported                  this host, or this version of its agent, cannot
        │   ├── JobCancelled                  cancelled before it began, or undone while it ran
        │   ├── JobExpired                    not begun before its deadline, so never run
        │   ├── JobInterrupted                broken off half-way and undone
        │   └── NoSuchTask                    no job of that id
        ├── AuthError                   1001
        │   └── PasswordMustChange            whoever gave the password knows it: nothing else is answered
        ├── ConfigurationReadError      1002
        ├── DatabaseConnectionError     1003
        ├── DatabaseSelectError         1004
        ├── DatabaseUpdateError         1005
        ├── DatabaseInsertError         1006
        ├── DatabaseDeleteError         1007
        ├── FuncMethodTimeoutError      1008  not known yet; `data.job` says where to ask
        ├── NoFuncZabbixClientError     1009
        ├── ZabbixAgentNotSupportedError 1010
        └── errors of single methods    1011 and up, beside the operations in their modules

The names on the wire are those of the document, misspellings included. A class that is indented below a
documented one travels to the caller under the documented name; which of its kinds it was stands in
`data.reason`. Anything that is not an `OmsError` is a bug and is answered as `FuncManError` with a reference.
"""

from typing import Any, ClassVar

import msgspec


class OmsError(Exception):
    """A failure that the caller may see: a sentence for a person, and details for a program.

    `message` says what was wrong, with which value, what is legal and what to do. `data` holds JSON values.
    """

    origin: ClassVar[int]
    code: ClassVar[int]
    wire_name: ClassVar[str]
    reason: ClassVar[str] = ""
    kinds: ClassVar[dict[str, type["OmsError"]]] = {}

    def __init__(self, message: str, /, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        known = OmsError.kinds.get(cls.__name__)
        if known is not None and known.__module__ != cls.__module__:
            raise TypeError(f"two errors are called {cls.__name__}")
        OmsError.kinds[cls.__name__] = cls
        if "code" in cls.__dict__:
            cls.wire_name = cls.__name__

    def details(self) -> dict[str, Any]:
        """What goes into the answer's `data`: the details, and the reason where the name alone is too general."""
        return {"reason": self.reason, **self.data} if self.reason else dict(self.data)


class CallError(OmsError):
    """The call could not be made at all (qooxdoo's origin 1)."""

    origin = 1


class InternalError(CallError):
    """Something broke inside OMS before a method was reached; the log has the reference."""

    code = 0


class IllegalService(CallError):
    """The service's name has characters that no service name has."""

    code = 1


class ServiceNotFound(CallError):
    """There is no such service."""

    code = 2


class MethodNotFound(CallError):
    """The service has no such method."""

    code = 4


class ParameterMismatch(CallError):
    """A parameter is missing, surplus or not legal; `data.parameter` names it."""

    code = 5


class PermissionDenied(CallError):
    """This way of calling is refused as such (a request from another site, a switched-off transport)."""

    code = 6


class ApplicationError(OmsError):
    """The method was reached and says no (qooxdoo's origin 2)."""

    origin = 2


class FuncManError(ApplicationError):
    """The host, or what runs on it, could not do what was asked."""

    code = 1000


class NoSuchMachine(FuncManError):
    """The host has no machine of that name."""

    reason = "no_such_machine"


class NoSuchContainer(NoSuchMachine):
    """The host has no container of that id."""

    reason = "no_such_container"


class MachineIsOff(FuncManError):
    """The machine is off, and only one that runs can do that; nothing was changed."""

    reason = "machine_is_off"


class ContainerIsOff(MachineIsOff):
    """The container is off, and only one that runs can do that; nothing was changed."""

    reason = "container_is_off"


class GuestDidNotReact(FuncManError):
    """What runs in the machine was asked and did not react in time; it may do so later."""

    reason = "guest_did_not_react"


class NotThere(FuncManError):
    """What is to be used or changed is not there: an image, a volume, a snapshot, a device."""

    reason = "not_there"


class AlreadyThere(FuncManError):
    """The name is taken on that host; nothing was overwritten."""

    reason = "already_there"


class InUse(FuncManError):
    """Somebody needs it as it is; the message and `data` name who."""

    reason = "in_use"


class NoSpace(FuncManError):
    """The host's storage has not enough room for that; nothing was changed."""

    reason = "no_space"


class NoMemory(FuncManError):
    """The host has not enough memory for that now; nothing was changed."""

    reason = "no_memory"


class Unusable(FuncManError):
    """A file (an image, a package) is damaged, not safe to use, or not of the kind it should be."""

    reason = "unusable"


class NotFetched(FuncManError):
    """A file could not be had from where it was to come: the address is refused, or does not give it."""

    reason = "not_fetched"


class NotRecorded(FuncManError):
    """Consoles are to be recorded, and this one cannot be, so it is not opened; the message says what to do."""

    reason = "not_recorded"


class HostUnavailable(FuncManError):
    """The host is not signed here or not connected now: nothing was sent to it."""

    reason = "host_unavailable"


class HostBusy(FuncManError):
    """As many calls wait for this host as may: nothing was sent to it."""

    reason = "host_busy"


class HypervisorUnavailable(FuncManError):
    """The host answers, its hypervisor does not."""

    reason = "hypervisor_unavailable"


class NotSupported(FuncManError):
    """This host cannot do that, or its agent is older than the call."""

    reason = "not_supported"


class JobCancelled(FuncManError):
    """The job was cancelled; nothing was changed."""

    reason = "cancelled"


class JobExpired(FuncManError):
    """The job was not begun before its deadline; nothing was changed and it will not run."""

    reason = "expired"


class JobInterrupted(FuncManError):
    """The job was broken off by a crash and could not be finished; the message says what is left."""

    reason = "interrupted"


class NoSuchTask(FuncManError):
    """There is no job of that id, or it belongs to somebody else."""

    reason = "no_such_task"


class AuthError(ApplicationError):
    """The user, password or session is not valid, or the user's role does not allow the call."""

    code = 1001


class PasswordMustChange(AuthError):
    """Somebody else knows this session's password: until it is changed, nothing else is answered to it."""

    reason = "password_must_change"


class ConfigurationReadError(ApplicationError):
    """A configuration that the call needs could not be read."""

    code = 1002


class DatabaseConnectionError(ApplicationError):
    """OMS's database cannot be reached."""

    code = 1003


class DatabaseSelectError(ApplicationError):
    """OMS's database could not be read."""

    code = 1004


class DatabaseUpdateError(ApplicationError):
    """OMS's database refused a change; nothing was changed."""

    code = 1005


class DatabaseInsertError(ApplicationError):
    """OMS's database refused a new row; nothing was changed."""

    code = 1006


class DatabaseDeleteError(ApplicationError):
    """OMS's database refused a removal; nothing was changed."""

    code = 1007


class FuncMethodTimeoutError(ApplicationError):
    """The outcome is not known yet. `data.job` (where there is one) is the job to ask for."""

    code = 1008


class NoFuncZabbixClientError(ApplicationError):
    """Statistics are to come from a Zabbix agent, and there is none."""

    code = 1009


class ZabbixAgentNotSupportedError(ApplicationError):
    """The host's Zabbix agent does not offer what was asked."""

    code = 1010


GENERAL: tuple[type[OmsError], ...] = (
    FuncManError,
    AuthError,
    ConfigurationReadError,
    DatabaseConnectionError,
    DatabaseSelectError,
    DatabaseUpdateError,
    DatabaseInsertError,
    DatabaseDeleteError,
    FuncMethodTimeoutError,
    NoFuncZabbixClientError,
    ZabbixAgentNotSupportedError,
)
"""The errors that every method may answer, in the document's order."""


JSON_RPC_CODES: dict[str, int] = {
    "InternalError": -32603,
    "IllegalService": -32601,
    "ServiceNotFound": -32601,
    "MethodNotFound": -32601,
    "ParameterMismatch": -32602,
    "PermissionDenied": -32000,
}
"""By wire name, the errors of which JSON-RPC 2.0 reserves the codes; any other keeps its own code there too."""


class WireError(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error on its way between two of our own processes, or in a record of a job."""

    kind: str
    message: str
    data: dict[str, Any] = {}


def pack(error: OmsError) -> WireError:
    """The form in which an error crosses the bus and is kept in records."""
    return WireError(type(error).__name__, error.message, error.data)


def unpack(wire: WireError) -> OmsError:
    """The error again. A kind that is not known here (a newer agent's) becomes a `FuncManError` that keeps it."""
    kind = OmsError.kinds.get(wire.kind)
    if kind is None or "wire_name" not in dir(kind):
        return FuncManError(wire.message, **{**wire.data, "kind": wire.kind})
    return kind(wire.message, **wire.data)


def shown(message: str, data: dict[str, Any]) -> OmsError:
    """The error again from what a caller is shown of it in JSON-RPC 2.0, where `data` has its name and details.

    Of a name that is not known here (a newer server's) it is a `FuncManError` that keeps it.
    """
    details = {key: value for key, value in data.items() if key not in ("origin", "code", "name")}
    name, reason = str(data.get("name", "")), details.get("reason", "")
    named = [kind for kind in OmsError.kinds.values() if getattr(kind, "wire_name", "") == name]
    if not named:
        return FuncManError(message, **{**details, "kind": name})
    kind = next((kind for kind in named if kind.reason == reason), OmsError.kinds[name])
    if kind.reason:
        del details["reason"]
    return kind(message, **details)
