"""The versions of the tables, the oldest first: the file `versions/vNNNN_what.py` makes version NNNN.

Servers over one database are upgraded one by one, so the OMS of before goes on with a newer version, and may be
started on it: a version adds what that one can do without, with defaults of the database's own, and takes nothing
away that it uses.
"""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

HERE = Path(__file__).parent


def newest() -> str:
    """The version that this OMS works with."""
    return max(path.name[1:5] for path in (HERE / "versions").glob("v[0-9][0-9][0-9][0-9]_*.py"))


def present(connection: Connection) -> str | None:
    """The version of a database; None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def upgrade(connection: Connection) -> None:
    """Bring a database to the newest version, if it is not at a newer one. Alembic is loaded only where there is
    something to do: at most starts there is not, and it takes 8 MB."""
    if (present(connection) or "") >= newest():
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
