"""Where servers reach each other, so that one passes on what is another's."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it; those of the version before do not say."""
    op.add_column("servers", sa.Column("address", sa.String(300), nullable=False, server_default=""))
