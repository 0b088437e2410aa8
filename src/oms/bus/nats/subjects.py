"""The names of the roads on the bus. Pure.

    oms.host.<host>.<verb>              calls to a host; the verb may hold one dot (kvmservices.list_vms)
    oms.reply.<host>.<server>.<number>  answers; the host in the name is what makes them unforgeable
    oms.event.<host>.<topic>            what a host tells unasked
    oms.server.<server>.<topic>         what a server tells the others

<host> is an id of 32 hex digits, never a name: dots split tokens and `*` and `>` are wildcards. Which host may use
which road is enforced by nats-server (`oms.bus.nats.permissions`), so the host in a subject can be believed.
"""

HOST_AT = len("oms.host.")
REPLY_AT = len("oms.reply.")
EVENT_AT = len("oms.event.")
HOST_ID_LENGTH = 32


def call(host_id: str, verb: str) -> str:
    """Where OMS sends a request."""
    return f"oms.host.{host_id}.{verb}"


def calls_of(host_id: str) -> str:
    """What an agent listens to."""
    return f"oms.host.{host_id}.>"


def verb_of(subject: str) -> str:
    """The verb of a call that arrived on `calls_of(host)`."""
    return subject[HOST_AT + HOST_ID_LENGTH + 1 :]


def reply(host_id: str, server: str, number: int) -> str:
    """Where the host answers one request of one OMS server."""
    return f"oms.reply.{host_id}.{server}.{number}"


def reply_prefix(host_id: str) -> str:
    """How the reply subjects of one host's requests begin."""
    return f"oms.reply.{host_id}."


def host_of_reply(subject: str) -> str:
    """The host of a subject that `reply` made."""
    return subject[REPLY_AT : REPLY_AT + HOST_ID_LENGTH]


def replies_to(server: str) -> str:
    """What one OMS server listens to: the answers of all hosts to it."""
    return f"oms.reply.*.{server}.>"


def replies_of(host_id: str) -> str:
    """Where a host may answer."""
    return f"oms.reply.{host_id}.>"


def event(host_id: str, topic: str) -> str:
    """Where a host tells something."""
    return f"oms.event.{host_id}.{topic}"


def events_of(host_id: str) -> str:
    """Where a host may tell anything."""
    return f"oms.event.{host_id}.>"


def told(server: str, topic: str) -> str:
    """Where a server tells the others something."""
    return f"oms.server.{server}.{topic}"


def split_told(subject: str) -> tuple[str, str]:
    """(server, topic) of what a server tells."""
    _, _, server, topic = subject.split(".", 3)
    return server, topic


ALL_TOLD = "oms.server.*.*"
ALL_EVENTS = "oms.event.>"
ALL_REPLIES = "oms.reply.>"
ALL_CALLS = "oms.host.>"


def split_event(subject: str) -> tuple[str, str]:
    """(host_id, topic) of an event; ("", "") when the subject is not one that `event` makes."""
    host_id = subject[EVENT_AT : EVENT_AT + HOST_ID_LENGTH]
    topic = subject[EVENT_AT + HOST_ID_LENGTH + 1 :]
    return (host_id, topic) if subject == event(host_id, topic) else ("", "")
