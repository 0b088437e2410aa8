"""This machine's PAM: whatever its service `oms` says, and the groups that this machine knows of the user."""

import grp
import os
import pwd
import re
from pathlib import Path

from pam import PamAuthenticator

from oms.contract.errors import ConfigurationReadError
from oms.server.outside import SourceDown

DIRECTORIES = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"), Path("/usr/etc/pam.d"))
NOT_ASKED = {1, 2, 3, 4, 5, 9, 19, 26, 28}
"""Codes of PAM that say nothing about the password: a module is missing, or could not ask whom it asks."""


class Service:
    """One service of PAM."""

    def __init__(self, name: str) -> None:
        """Raises ConfigurationReadError where it is not there: PAM would take another one in its place."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
            raise ConfigurationReadError(f"pam_service is {name!r}: legal is the name of a file in /etc/pam.d.")
        if not any((directory / name).is_file() for directory in DIRECTORIES):
            raise ConfigurationReadError(f"There is no PAM service {name}: write /etc/pam.d/{name} first.")
        self._name = name

    def look(self, user: str, password: str) -> frozenset[str] | None:
        """The user's groups, None where PAM does not let him in. Blocks. Raises SourceDown."""
        asked = PamAuthenticator()  # one for each: it holds the conversation
        if asked.authenticate(user, password, service=self._name, resetcreds=False):
            return _groups(user)
        if asked.code in NOT_ASKED:
            raise SourceDown(f"PAM service {self._name}: {asked.reason!s}")
        return None


def _groups(user: str) -> frozenset[str]:
    """As this machine knows them; a user who is in PAM alone has none."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return frozenset()
    names = set()
    for number in os.getgrouplist(user, account.pw_gid):
        try:
            names.add(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return frozenset(names)
