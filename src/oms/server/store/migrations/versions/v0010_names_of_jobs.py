"""What people call the guest that a job is about."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it; of jobs that there are, it is not known any more."""
    op.add_column("jobs", sa.Column("name", sa.String(253), nullable=False, server_default=""))
