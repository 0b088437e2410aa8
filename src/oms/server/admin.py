"""What an administrator does at the machine itself, without logging in: users, passwords, the first host."""

from sqlalchemy import Connection

from oms.contract.operation import Permission
from oms.server import accounts, passwords
from oms.server.metrics import token
from oms.server.store import Store, users

FIRST = "admin"


def first_user(store: Store, password: str | None) -> str | None:
    """Make the first administrator where there is no user yet.

    Answers the password that was invented for him, to be shown once and to be changed; None where there was
    nothing to do or a password was given. Raises passwords.Unfit. Blocks.
    """
    chosen = passwords.fit(password, FIRST) if password else passwords.invented()
    hashed = passwords.hashed(chosen)

    def begin(tx: Connection) -> bool:
        if users.anybody(tx):
            return False
        accounts.add(tx, FIRST, Permission.ADMIN, hashed, must_change=not password)
        return True

    made = store.transaction(begin)
    return chosen if made and not password else None


def add_user(store: Store, name: str, role: Permission, password: str, *, must_change: bool = False) -> None:
    """Add a user. Raises UserExists. Blocks."""
    hashed = passwords.hashed(password)
    store.transaction(lambda tx: accounts.add(tx, name, role, hashed, must_change=must_change))


def reset_password(store: Store, name: str, password: str, *, must_change: bool = False) -> None:
    """Give a user a new password and end his sessions. Raises NoSuchUser, OutsideUser. Blocks."""
    hashed = passwords.hashed(password)
    store.transaction(lambda tx: accounts.reset_password(tx, name, hashed, must_change=must_change))


def set_role(store: Store, name: str, role: Permission) -> None:
    """Give a user another role. Raises NoSuchUser, LastAdministrator, OutsideUser. Blocks."""
    store.transaction(lambda tx: accounts.set_role(tx, name, role))


def delete_user(store: Store, name: str) -> None:
    """Remove a user. Raises NoSuchUser, LastAdministrator. Blocks."""
    store.transaction(lambda tx: accounts.remove(tx, name))


def metrics_token(store: Store) -> str:
    """A new token for `/metrics`, to be shown once; the one before is void. Blocks."""
    return store.transaction(token.make)


def end_metrics_token(store: Store) -> bool:
    """Void the token for `/metrics`; whether there was one. Blocks."""
    return store.transaction(token.end)
