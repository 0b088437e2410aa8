"""Single values, by name."""

from sqlalchemy import Connection, insert, select, update

from oms.bus.nats.nkey import Issuer
from oms.server.store.tables import meta


def get(tx: Connection, key: str) -> str | None:
    """The value, or None."""
    return tx.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one_or_none()


def put(tx: Connection, key: str, value: str) -> None:
    """Set the value."""
    if not tx.execute(update(meta).where(meta.c.key == key).values(value=value)).rowcount:
        tx.execute(insert(meta).values(key=key, value=value))


def bus_issuer(tx: Connection) -> str:
    """The seed of the key that admits hosts to the bus, made when it is first asked for: whoever has it can let
    anybody in."""
    seed = get(tx, "bus_issuer")
    if seed is None:
        seed = Issuer.generate().seed
        put(tx, "bus_issuer", seed)
    return seed
