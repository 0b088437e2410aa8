"""The sources of users from outside, as the settings say: each is loaded only where it is configured."""

from pathlib import Path
from typing import TYPE_CHECKING

from oms.contract.errors import ConfigurationReadError
from oms.contract.operation import Permission
from oms.contract.user import Source
from oms.server.config import ServerConfig
from oms.server.outside import Look, Outside
from oms.server.rules import grouproles

if TYPE_CHECKING:
    from oms.server.outside.directory import Directory


def outside(config: ServerConfig) -> Outside:
    """Raises ConfigurationReadError."""
    groups = {
        Permission.VIEWER: config.viewer_groups,
        Permission.OPERATOR: config.operator_groups,
        Permission.ADMIN: config.admin_groups,
    }
    try:
        roles = grouproles.mapped(groups)
        sources: dict[Source, Look] = {source: _source(source, config) for source in config.login_sources}
    except grouproles.NoGroup as wrong:
        raise ConfigurationReadError(str(wrong)) from wrong
    except ModuleNotFoundError as missing:
        raise ConfigurationReadError(
            f"The setting login_sources needs the Python package {missing.name}: install opennode-oms[ldap,pam]."
        ) from missing
    return Outside(sources, roles, config.login_timeout)


def _source(source: Source, config: ServerConfig) -> Look:
    if source == "pam":
        from oms.server.outside import pam

        return pam.Service(config.pam_service).look
    return directory(config).look


def directory(config: ServerConfig) -> "Directory":
    """Raises ConfigurationReadError."""
    from oms.server.outside.directory import Directory, Settings

    if not config.ldap_url.startswith(("ldap://", "ldaps://")):
        raise ConfigurationReadError("ldap_url is not set: legal is ldaps://HOST or ldap://HOST (with StartTLS).")
    for name in ("ldap_user_base", "ldap_group_base"):
        if not getattr(config, name):
            raise ConfigurationReadError(f"{name} is not set: it is the DN below which they are looked for.")
    if "{user}" not in config.ldap_user_filter:
        raise ConfigurationReadError("ldap_user_filter must have {user} in it, where the name belongs.")
    return Directory(
        Settings(
            url=config.ldap_url,
            ca=config.ldap_ca,
            plain=config.ldap_plain,
            bind_dn=config.ldap_bind_dn,
            bind_password=_secret(config.ldap_bind_password_file),
            user_base=config.ldap_user_base,
            user_filter=config.ldap_user_filter,
            group_base=config.ldap_group_base,
            group_filter=config.ldap_group_filter,
            timeout=config.login_timeout,
        )
    )


def _secret(file: Path | None) -> str:
    try:
        return file.read_text().strip() if file else ""
    except OSError as error:
        raise ConfigurationReadError(
            f"ldap_bind_password_file {file} cannot be read: {error.strerror}."
        ) from error
