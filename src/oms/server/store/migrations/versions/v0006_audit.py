"""The audit log's rows, and the marks at both ends of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them; the chain begins with nothing."""
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("user", "session", "address", "method")),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("host", "target", "params", "outcome", "reason")
        ),
        sa.Column("job", sa.String(32), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    for column in ("time", "user", "job"):
        op.create_index(op.f(f"ix_audit_{column}"), "audit", [column], unique=False)
    marks = op.create_table(
        "audit_marks",
        sa.Column("name", sa.String(8), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_audit_marks")),
    )
    op.bulk_insert(marks, [{"name": name, "seq": 0, "sha256": "0" * 64} for name in ("head", "begin")])
