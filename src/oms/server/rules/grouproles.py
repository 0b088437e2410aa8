"""Which role the groups of a user from outside give him: the highest that any of them does, or none."""

from collections.abc import Collection, Mapping

from oms.contract.operation import Permission

SOURCES = ("pam", "ldap")
Mapped = Mapping[tuple[str, str], Permission]
"""By source and group, in lower case."""


class NoGroup(Exception):
    """What is wrong with a setting."""


def mapped(groups: Mapping[Permission, Collection[str]]) -> Mapped:
    """The settings as a table. Raises NoGroup."""
    found: dict[tuple[str, str], Permission] = {}
    for role in sorted(groups):
        for written in groups[role]:
            source, _, group = written.partition(":")
            if source not in SOURCES or not group:
                setting = f"{role.name.lower()}_groups"
                raise NoGroup(f"{written!r} in {setting} is no group: legal is pam:GROUP or ldap:GROUP.")
            found[source, group.lower()] = role
    return found


def role_of(table: Mapped, source: str, groups: Collection[str]) -> Permission | None:
    """The highest role that these groups give, or None."""
    given = [role for group in groups if (role := table.get((source, group.lower())))]
    return max(given, default=None)
