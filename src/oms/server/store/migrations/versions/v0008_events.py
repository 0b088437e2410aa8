"""The log of events, and the marks at both ends of it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them; the log begins with nothing."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "events",
        sa.Column("seq", number, autoincrement=False, nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("host", sa.String(253), nullable=False),
        sa.Column("guest_id", sa.String(300), nullable=False),
        sa.Column("guest_name", sa.String(253), nullable=False),
        sa.Column("job", sa.String(32), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_time"), "events", ["time"], unique=False)
    marks = op.create_table(
        "event_marks",
        sa.Column("name", sa.String(8), nullable=False),
        sa.Column("seq", number, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_marks")),
    )
    op.bulk_insert(marks, [{"name": name, "seq": 0} for name in ("head", "begin")])
