"""Events of hosts and of what is on them: jobs, guests, files, networks, tags."""

from typing import Literal

import msgspec

from oms.contract.event.shape import Event, NoData
from oms.contract.task import State, TaskError

GuestState = Literal["running", "paused", "shutdown", "crashed"]


# --- the server


class ServerStart(msgspec.Struct, frozen=True):
    """The version of the server that began."""

    version: str


class ServerStarted(Event, frozen=True, kw_only=True, tag="server.started"):
    """A server of OMS has begun. What happened while there was none stands in no event: look at everything
    anew."""

    data: ServerStart


# --- jobs


class JobWork(msgspec.Struct, frozen=True):
    """What a job does: `service.method`, and of what it is a change."""

    method: str
    target: str


class JobProgress(msgspec.Struct, frozen=True):
    """How far a job is: `progress` is 0 to 100, `eta` when it should end, or ""."""

    method: str
    target: str
    state: State
    progress: int
    eta: str


class JobOutcome(msgspec.Struct, frozen=True):
    """How a job ended: `done`, `failed` or `cancelled`, and why where it is not done. Its result is not told
    here: `get_task` answers it."""

    method: str
    target: str
    state: State
    error: TaskError | None


class JobBegun(Event, frozen=True, kw_only=True, tag="job.begun"):
    """A change of a host was written down as a job."""

    data: JobWork


class JobProgressed(Event, frozen=True, kw_only=True, tag="job.progressed"):
    """A job is on its way; told about once a second at most, and not at all of jobs that are quick."""

    data: JobProgress


class JobEnded(Event, frozen=True, kw_only=True, tag="job.ended"):
    """A job is over."""

    data: JobOutcome


# --- hosts


class HostKey(msgspec.Struct, frozen=True):
    """The SHA-256 of the key that asks for a host's name."""

    key_sha256: str


class SignedAs(msgspec.Struct, frozen=True):
    """The type that was found for a host."""

    type: str


class HostChange(msgspec.Struct, frozen=True):
    """What is another now: `type`, or names of the facts in `describe_host`."""

    what: list[str]


class HostLoad(msgspec.Struct, frozen=True):
    """How busy a host is. `cpu_percent` is of all its CPUs, since it was measured before; `load` is over a
    minute."""

    cpu_percent: float
    load: float
    memory_kb: int
    memory_available_kb: int
    swap_kb: int
    swap_free_kb: int


class HostAsked(Event, frozen=True, kw_only=True, tag="host.asked"):
    """A host asks to be signed."""

    data: HostKey


class HostRefused(Event, frozen=True, kw_only=True, tag="host.refused"):
    """The requests for that host's name were removed, by an administrator or because of their age."""

    data: NoData


class HostSigned(Event, frozen=True, kw_only=True, tag="host.signed"):
    """A host was let in."""

    data: SignedAs


class HostRemoved(Event, frozen=True, kw_only=True, tag="host.removed"):
    """A host was thrown out."""

    data: NoData


class HostConnected(Event, frozen=True, kw_only=True, tag="host.connected"):
    """A host's agent is here and was greeted: it can be asked. What happened there while it was away stands in no
    event, unless this server had seen its guests before: look at all of it anew."""

    data: NoData


class HostGone(Event, frozen=True, kw_only=True, tag="host.gone"):
    """A host's agent is not connected any more."""

    data: NoData


class HostChanged(Event, frozen=True, kw_only=True, tag="host.changed"):
    """A host is another than it was, as its agent or an administrator says. Its tags of levels 1 and 2 follow."""

    data: HostChange


class HostMeasured(Event, frozen=True, kw_only=True, tag="host.measured"):
    """A host is notably more, or less, busy than was told of it last."""

    data: HostLoad


# --- guests


class GuestSight(msgspec.Struct, frozen=True):
    """How a guest is, or was last; "" where that is not known."""

    state: GuestState | Literal[""]


class GuestChange(msgspec.Struct, frozen=True):
    """How a guest is now, "" where that is not known, and what is another than it was: its `state`, its `name`, or
    its `definition`, which is all the rest."""

    state: GuestState | Literal[""]
    what: list[Literal["state", "name", "definition"]]


class GuestMove(msgspec.Struct, frozen=True):
    """The host that a guest is on now."""

    to: str


class GuestAppeared(Event, frozen=True, kw_only=True, tag="guest.appeared"):
    """A host has a guest that it had not."""

    data: GuestSight


class GuestChanged(Event, frozen=True, kw_only=True, tag="guest.changed"):
    """A guest is another than it was."""

    data: GuestChange


class GuestMoved(Event, frozen=True, kw_only=True, tag="guest.moved"):
    """A guest has gone from `host` to another. That it is gone here and appeared there is told as well."""

    data: GuestMove


class GuestGone(Event, frozen=True, kw_only=True, tag="guest.gone"):
    """A host does not have a guest any more."""

    data: GuestSight


class GuestsChanged(Event, frozen=True, kw_only=True, tag="guests.changed"):
    """More has happened to the guests of a host than is told of each, or it is not known what: look at all of
    them anew."""

    data: NoData


# --- what hosts keep: look at all of that kind there anew


class DoneBy(msgspec.Struct, frozen=True):
    """The method of the job that did it."""

    method: str


class ImagesChanged(Event, frozen=True, kw_only=True, tag="images.changed"):
    """The disk images of a host may be others."""

    data: DoneBy


class TemplatesChanged(Event, frozen=True, kw_only=True, tag="templates.changed"):
    """The templates of a host may be others, those of machines or those of containers as the method tells."""

    data: DoneBy


class IsosChanged(Event, frozen=True, kw_only=True, tag="isos.changed"):
    """The ISO images of a host may be others."""

    data: DoneBy


class VolumesChanged(Event, frozen=True, kw_only=True, tag="volumes.changed"):
    """The logical volumes of a host may be others."""

    data: DoneBy


class NetworksChanged(Event, frozen=True, kw_only=True, tag="networks.changed"):
    """The interfaces, bridges or routes of a host may be others."""

    data: DoneBy


# --- tags


class TagData(msgspec.Struct, frozen=True):
    """A tag of level 3."""

    tag: str


class TagNames(msgspec.Struct, frozen=True):
    """A tag's name before and now."""

    old: str
    new: str


class TagGiven(Event, frozen=True, kw_only=True, tag="tag.given"):
    """A host, or a guest of it, bears a tag that it did not bear."""

    data: TagData


class TagTaken(Event, frozen=True, kw_only=True, tag="tag.taken"):
    """A host, or a guest of it, bears a tag no longer."""

    data: TagData


class TagRenamed(Event, frozen=True, kw_only=True, tag="tag.renamed"):
    """A tag has another name, wherever it is borne."""

    data: TagNames
