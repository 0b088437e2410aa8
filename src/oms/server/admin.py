"""What an administrator does at the machine itself, without logging in: users, passwords, the first host."""

from sqlalchemy import Connection

from oms.contract.operation import Permission
from oms.server import passwords
from oms.server.metrics import token
from oms.server.store import Store, users


class UnknownUser(Exception):
    """There is no user of that name."""


class KnownUser(Exception):
    """There is a user of that name already."""


FIRST = "admin"


def first_user(store: Store, password: str | None) -> str | None:
    """Make the first administrator where there is no user yet.

    Answers the password that was invented for him, to be shown once; None where there was nothing to do or a
    password was given. Raises passwords.Unfit. Blocks.
    """
    chosen = passwords.fit(password) if password else passwords.invented()
    hashed = passwords.hashed(chosen)

    def begin(tx: Connection) -> bool:
        if users.anybody(tx):
            return False
        users.add(tx, FIRST, Permission.ADMIN, hashed)
        return True

    made = store.transaction(begin)
    return chosen if made and not password else None


def add_user(store: Store, name: str, role: Permission, password: str) -> None:
    """Add a user. Raises KnownUser. Blocks."""
    hashed = passwords.hashed(password)

    def add(tx: Connection) -> None:
        if users.by_name(tx, name):
            raise KnownUser(f"There is a user {name} already: reset-password gives a new password.")
        users.add(tx, name, role, hashed)

    store.transaction(add)


def reset_password(store: Store, name: str, password: str) -> None:
    """Give a user a new password and end his sessions. Raises UnknownUser. Blocks."""
    hashed = passwords.hashed(password)
    if not store.transaction(lambda tx: users.set_password(tx, name, hashed)):
        raise UnknownUser(f"There is no user {name}.")


def metrics_token(store: Store) -> str:
    """A new token for `/metrics`, to be shown once; the one before is void. Blocks."""
    return store.transaction(token.make)


def end_metrics_token(store: Store) -> bool:
    """Void the token for `/metrics`; whether there was one. Blocks."""
    return store.transaction(token.end)
