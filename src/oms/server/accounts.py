"""The rules of accounts, inside a transaction: the same for those who call and for whoever stands at the
machine."""

from sqlalchemy import Connection

from oms.contract.operation import Permission
from oms.contract.user import LastAdministrator, NoSuchUser, OutsideUser, Source, UserExists
from oms.server.store import sessions, users
from oms.server.store.users import User


def existing(tx: Connection, name: str) -> User:
    """The user of that name. Raises NoSuchUser."""
    user = users.by_name(tx, name)
    if user is None:
        raise NoSuchUser(f"There is no user {name}: userservices.list_users lists them.", user=name)
    return user


def add(tx: Connection, name: str, role: Permission, password: str, *, must_change: bool) -> None:
    """Add a user of OMS's own; `password` is a hash. Raises UserExists."""
    user = users.by_name(tx, name)
    if user:
        whose = (
            "" if user.source == "local" else f", who comes from {user.source}: delete_user makes room for yours"
        )
        raise UserExists(f"There is a user {name} already{whose}.", user=name)
    users.add(tx, name, role, password, must_change=must_change)


def remove(tx: Connection, name: str) -> None:
    """Remove a user with his sessions and tokens. Raises NoSuchUser, LastAdministrator."""
    _keep_one(tx, existing(tx, name), "removed")
    users.remove(tx, name)


def reset_password(tx: Connection, name: str, password: str, *, must_change: bool) -> None:
    """Give a user another password, a hash, and end his sessions. Raises NoSuchUser, OutsideUser."""
    _own(existing(tx, name), "password")
    users.set_password(tx, name, password, must_change=must_change)


def set_role(tx: Connection, name: str, role: Permission) -> None:
    """Give a user another role; a lower one ends his sessions. Raises NoSuchUser, LastAdministrator,
    OutsideUser."""
    user = existing(tx, name)
    _own(user, "role")
    if role < user.role:
        _keep_one(tx, user, f"made {role.name.lower()}")
        sessions.end_of(tx, name)
    users.set_role(tx, name, role)


def admit(tx: Connection, name: str, source: Source, role: Permission) -> bool:
    """Keep what a source says of a user; False where the name is another's meanwhile.

    A lower role than before ends his sessions.
    """
    user = users.by_name(tx, name)
    if user is None:
        users.add(tx, name, role, "", source=source)
        return True
    if user.source != source:
        return False
    if role < user.role:
        sessions.end_of(tx, name)
    if role != user.role:
        users.set_role(tx, name, role)
    return True


def _own(user: User, what: str) -> None:
    if user.source != "local":
        raise OutsideUser(f"The {what} of {user.name} comes from {user.source}: change it there.", user=user.name)


def _keep_one(tx: Connection, user: User, what: str) -> None:
    """Two that are done at once wait for each other: the second finds one administrator left."""
    if user.source == "local" and user.role is Permission.ADMIN and len(users.administrators(tx)) < 2:
        raise LastAdministrator(
            f"{user.name} is the last administrator that OMS itself knows and is not {what}: make another one "
            "first.",
            user=user.name,
        )
