"""What guests a host had when it was heard of last."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("hosts", sa.Column("guests", sa.Text(), nullable=False, server_default=""))
