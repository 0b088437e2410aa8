"""By which keys the SSH server of a host is known."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("hosts", sa.Column("ssh_host_keys", sa.Text(), nullable=False, server_default=""))
