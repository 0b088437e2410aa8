"""What an administrator does at the machine itself, without logging in: users, passwords, the first host."""

import msgspec
from sqlalchemy import Connection

from oms.contract.operation import Permission
from oms.server import accounts, passwords
from oms.server.metrics import token
from oms.server.store import Store, audit, users
from oms.server.store.audit import Entry
from oms.server.store.moments import moment, now

FIRST = "admin"
CONSOLE = "(console)"
"""Who stands at the machine: no user has such a name."""


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
        _noted(tx, "add_user", FIRST, role="admin")
        return True

    made = store.transaction(begin)
    return chosen if made and not password else None


def add_user(store: Store, name: str, role: Permission, password: str, *, must_change: bool = False) -> None:
    """Add a user. Raises UserExists. Blocks."""
    hashed = passwords.hashed(password)

    def add(tx: Connection) -> None:
        accounts.add(tx, name, role, hashed, must_change=must_change)
        _noted(tx, "add_user", name, role=role.name.lower())

    store.transaction(add)


def reset_password(store: Store, name: str, password: str, *, must_change: bool = False) -> None:
    """Give a user a new password and end his sessions. Raises NoSuchUser, OutsideUser. Blocks."""
    hashed = passwords.hashed(password)

    def reset(tx: Connection) -> None:
        accounts.reset_password(tx, name, hashed, must_change=must_change)
        _noted(tx, "reset_password", name)

    store.transaction(reset)


def set_role(store: Store, name: str, role: Permission) -> None:
    """Give a user another role. Raises NoSuchUser, LastAdministrator, OutsideUser. Blocks."""

    def change(tx: Connection) -> None:
        accounts.set_role(tx, name, role)
        _noted(tx, "set_role", name, role=role.name.lower())

    store.transaction(change)


def delete_user(store: Store, name: str) -> None:
    """Remove a user. Raises NoSuchUser, LastAdministrator. Blocks."""

    def remove(tx: Connection) -> None:
        accounts.remove(tx, name)
        _noted(tx, "delete_user", name)

    store.transaction(remove)


def _noted(tx: Connection, method: str, target: str, **params: str) -> None:
    """What is done here stands in the audit log too, in the same transaction."""
    written = msgspec.json.encode(params).decode()
    audit.append(tx, Entry(moment(now()), f"userservices.{method}", user=CONSOLE, target=target, params=written))


def metrics_token(store: Store) -> str:
    """A new token for `/metrics`, to be shown once; the one before is void. Blocks."""
    return store.transaction(token.make)


def end_metrics_token(store: Store) -> bool:
    """Void the token for `/metrics`; whether there was one. Blocks."""
    return store.transaction(token.end)
