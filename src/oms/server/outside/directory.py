"""A directory (LDAP, Active Directory): the user is looked for, then his password is tried by binding as him."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ldap
import msgspec
from ldap.filter import escape_filter_chars

from oms.server.outside import SourceDown

MOST_GROUPS = 1000
LDAPS = 636


class Settings(msgspec.Struct, frozen=True):
    """Where it is and how it is laid out. In the filters, {user} is the name and {dn} the entry that was found."""

    url: str
    ca: Path | None
    plain: bool
    bind_dn: str
    bind_password: str
    user_base: str
    user_filter: str
    group_base: str
    group_filter: str
    timeout: float


class Directory:
    """One directory."""

    def __init__(self, settings: Settings) -> None:
        self._with = settings

    def look(self, user: str, password: str) -> frozenset[str] | None:
        """The names of the user's groups, None where there is not just one of that name, or the password is wrong.
        Blocks. Raises SourceDown."""
        if not password:
            return None  # a bind without a password succeeds, as nobody
        try:
            with self._connected() as connection:
                dn = self._found(connection, user)
                if dn is None:
                    return None
                groups = self._groups(connection, user, dn)
                connection.simple_bind_s(dn, password)
                return groups
        except (ldap.INVALID_CREDENTIALS, ldap.INAPPROPRIATE_AUTH):
            return None
        except ldap.LDAPError as failure:
            raise SourceDown(_words(failure)) from failure

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """A connection that is encrypted, to a server whose certificate was checked, bound to look for users."""
        chosen = self._with
        self._speaks_tls()
        connection = ldap.initialize(chosen.url)
        try:
            connection.protocol_version = ldap.VERSION3
            connection.set_option(ldap.OPT_REFERRALS, 0)  # nobody else is told a password
            connection.set_option(ldap.OPT_NETWORK_TIMEOUT, chosen.timeout)
            connection.set_option(ldap.OPT_TIMEOUT, chosen.timeout)
            connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
            if chosen.ca is not None:
                connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(chosen.ca))
            connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
            if chosen.url.startswith("ldap://") and not chosen.plain:
                connection.start_tls_s()
            try:
                connection.simple_bind_s(chosen.bind_dn, chosen.bind_password)
            except ldap.INVALID_CREDENTIALS as wrong:
                raise SourceDown("ldap_bind_dn and its password are not taken") from wrong
            yield connection
        finally:
            with suppress(ldap.LDAPError):
                connection.unbind_ext_s()

    def _speaks_tls(self) -> None:
        """libldap waits for ever for a server that takes a connection at `ldaps://` and then says nothing: it is
        given none that does not show its certificate in time."""
        at = urlsplit(self._with.url)
        if at.scheme != "ldaps":
            return
        trusted = ssl.create_default_context(cafile=self._with.ca)
        try:
            with socket.create_connection((at.hostname, at.port or LDAPS), self._with.timeout) as plain:
                trusted.wrap_socket(plain, server_hostname=at.hostname).close()
        except OSError as failure:
            raise SourceDown(str(failure)) from failure

    def _found(self, connection: Any, user: str) -> str | None:
        asked = _filled(self._with.user_filter, user=user)
        found = self._search(connection, self._with.user_base, asked, ["1.1"], 2)
        if len(found) > 1:
            raise SourceDown("ldap_user_filter finds several entries for one name")
        return found[0][0] if found else None

    def _groups(self, connection: Any, user: str, dn: str) -> frozenset[str]:
        if not self._with.group_base:
            return frozenset()
        asked = _filled(self._with.group_filter, user=user, dn=dn)
        found = self._search(connection, self._with.group_base, asked, ["cn"], MOST_GROUPS)
        return frozenset(name.decode(errors="replace") for _, entry in found for name in entry.get("cn", ()))

    def _search(
        self, connection: Any, base: str, asked: str, attributes: list[str], most: int
    ) -> list[tuple[str, Any]]:
        try:
            found = connection.search_ext_s(
                base, ldap.SCOPE_SUBTREE, asked, attributes, timeout=self._with.timeout, sizelimit=most
            )
        except ldap.NO_SUCH_OBJECT as none:
            raise SourceDown(f"there is no entry {base}") from none
        except ldap.SIZELIMIT_EXCEEDED as many:
            raise SourceDown(f"more than {most} entries are found below {base}") from many
        return [(dn, entry) for dn, entry in found if dn is not None]  # without one it is a referral


def _filled(written: str, **values: str) -> str:
    """A filter with values in it, none of which can mean anything there but itself."""
    for name, value in values.items():
        written = written.replace(f"{{{name}}}", escape_filter_chars(value))
    return written


def _words(failure: ldap.LDAPError) -> str:
    details = failure.args[0] if failure.args and isinstance(failure.args[0], dict) else {}
    return f"{details.get('desc', type(failure).__name__)} {details.get('info', '')}".strip()
