"""What OMS keeps. Times are seconds since 1970, UTC; texts that hold JSON say so. Truth about guests is not here:
it is on the hosts."""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", Integer, nullable=False),
    Column("password", Text, nullable=False),  # argon2id, with its parameters; empty where another source knows it
    Column("created", Double, nullable=False),
    Column(
        "source", String(16), nullable=False, default="local", server_default="local"
    ),  # who knows the password
    Column("must_change", Integer, nullable=False, default=0, server_default="0"),
    Column("last_login", Double, nullable=False, default=0, server_default="0"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the token; the token itself is nowhere
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("label", String(64), nullable=False),
    Column("role", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("used", Double, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the SESSID; the SESSID itself is nowhere
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("address", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("used", Double, nullable=False),
)

hosts = Table(
    "hosts",
    metadata,
    Column("id", String(32), primary_key=True),  # new at each signing; the bus knows a host by this alone
    Column("name", String(253), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("key_sha256", String(64), nullable=False),
    Column("certificate_sha256", String(64), nullable=False, unique=True),
    Column("certificate", Text, nullable=False),  # PEM
    Column("not_after", Double, nullable=False),
    Column("signed_at", Double, nullable=False),
    Column("signed_by", String(64), nullable=False),
    Column("last_seen", Double, nullable=False, default=0),
    Column("facts", Text, nullable=False, default=""),  # JSON of contract.internal.HostFacts
    Column("ssh_private", LargeBinary, nullable=False),  # OpenSSH format
    Column("ssh_public", Text, nullable=False),
    Column(
        "ssh_host_keys", Text, nullable=False, default="", server_default=""
    ),  # by which its SSH server is known
    Column("guests", Text, nullable=False, default="", server_default=""),  # JSON, as it told them before it left
)

servers = Table(
    "servers",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(300), nullable=False),  # host and address, for people
    Column("address", String(300), nullable=False, server_default=""),  # host:port, for other servers
    Column("epoch", Integer, nullable=False),  # the number of its start
    Column("started", Double, nullable=False),
    Column("seen", Double, nullable=False),  # by the database's own clock; see store/servers.py
)

requests = Table(
    "requests",
    metadata,
    Column("key_sha256", String(64), primary_key=True),
    Column("name", String(253), nullable=False, index=True),
    Column("csr", Text, nullable=False),  # PEM, the very bytes that were reviewed
    Column("csr_sha256", String(64), nullable=False),
    Column("facts", Text, nullable=False),  # JSON of contract.internal.HostFacts
    Column("address", String(64), nullable=False, index=True),
    Column("created", Double, nullable=False),
)

removed_keys = Table(
    "removed_keys",
    metadata,
    Column("key_sha256", String(64), primary_key=True),  # of a host that was thrown out: it must make a new one
    Column("removed", Double, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column("host_id", String(32), ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(63), primary_key=True),
    Column("level", Integer, nullable=False),
)

guests = Table(
    "guests",  # of which OMS keeps something: those that bear tags
    metadata,
    Column("id", String(300), primary_key=True),  # a machine's UUID; of a container, `its host's id/its own`
    Column("kind", String(8), nullable=False),  # `kvm`, `openvz`
    Column("host_id", String(32), ForeignKey("hosts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(253), nullable=False),  # as it was last seen there
    Column("missing", Double, nullable=False, default=0),  # since when its host does not list it; 0: it does
)

guest_tags = Table(
    "guest_tags",
    metadata,
    Column("guest", String(300), ForeignKey("guests.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(63), primary_key=True, index=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("method", String(128), nullable=False),
    Column("host_id", String(32), nullable=False),
    Column("host", String(253), nullable=False),
    Column("target", String(253), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("same", String(64), nullable=False),  # digest of method and parameters: equal for a repeated call
    Column("op", Text, nullable=False),  # JSON for the host, emptied once the job has ended
    Column("state", String(16), nullable=False),
    Column("progress", Integer, nullable=False, default=0),
    Column("created", Double, nullable=False),
    Column("deadline", Double, nullable=False),
    Column("started", Double, nullable=False, default=0),
    Column("finished", Double, nullable=False, default=0),
    Column("result", Text, nullable=False, default=""),  # JSON
    Column("error", Text, nullable=False, default=""),  # JSON of contract.errors.WireError
    Column("notes", Text, nullable=False, default=""),  # JSON
    Column("eta", Double, nullable=False, default=0, server_default="0"),  # when it should end; 0: cannot be told
    Column("server", String(16), nullable=False, default="", server_default=""),  # which watches over it
    Column("name", String(253), nullable=False, default="", server_default=""),  # of the guest, as people know it
    Index("ix_jobs_state_host_id", "state", "host_id"),
    Index("ix_jobs_created", "created"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("time", String(32), nullable=False, index=True),  # RFC 3339 in UTC
    Column("user", Text, nullable=False, index=True),
    Column("session", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("params", Text, nullable=False),  # JSON, secrets as dots
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("job", String(32), nullable=False, index=True),
    Column("previous", String(64), nullable=False),  # the seal of the row before
    Column("sha256", String(64), nullable=False),  # its own
)

audit_marks = Table(
    "audit_marks",
    metadata,
    Column("name", String(8), primary_key=True),  # `head`: the last row written; `begin`: the last one pruned
    Column("seq", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
)

Number = BigInteger().with_variant(Integer, "sqlite")
"""Of an event: a busy fleet has some hundred a second."""

events = Table(
    "events",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("host", String(253), nullable=False),
    Column("guest_id", String(300), nullable=False),
    Column("guest_name", String(253), nullable=False),
    Column("job", String(32), nullable=False),
    Column("user", String(64), nullable=False),
    Column("body", Text, nullable=False),  # its JSON, as callers get it
)

event_marks = Table(
    "event_marks",
    metadata,
    Column("name", String(8), primary_key=True),  # `head`: the newest event; `begin`: the last one taken out
    Column("seq", Number, nullable=False),
)
