"""Single values: this server's identity, and its epoch, which goes up by one at each start."""

import secrets

from sqlalchemy import Connection, insert, select, update

from oms.server.store.tables import meta


def get(tx: Connection, key: str) -> str | None:
    """The value, or None."""
    return tx.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one_or_none()


def put(tx: Connection, key: str, value: str) -> None:
    """Set the value."""
    if not tx.execute(update(meta).where(meta.c.key == key).values(value=value)).rowcount:
        tx.execute(insert(meta).values(key=key, value=value))


def begin_epoch(tx: Connection) -> tuple[str, int]:
    """This server's id, made at its first start, and the number of this start."""
    server = get(tx, "server") or secrets.token_hex(8)
    epoch = int(get(tx, "epoch") or "0") + 1
    put(tx, "server", server)
    put(tx, "epoch", str(epoch))
    return server, epoch
