"""Tags of guests."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "guests",
        sa.Column("id", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("host_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("missing", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_guests_host_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guests")),
    )
    op.create_index(op.f("ix_guests_host_id"), "guests", ["host_id"], unique=False)
    op.create_table(
        "guest_tags",
        sa.Column("guest", sa.String(length=300), nullable=False),
        sa.Column("tag", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(["guest"], ["guests.id"], name=op.f("fk_guest_tags_guest"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("guest", "tag", name=op.f("pk_guest_tags")),
    )
    op.create_index(op.f("ix_guest_tags_tag"), "guest_tags", ["tag"], unique=False)


def downgrade() -> None:
    """Drop them, and with them the tags."""
    op.drop_table("guest_tags")
    op.drop_table("guests")
