"""Which OMS a command speaks to, and as whom: profiles in `~/.config/oms/profiles.toml`, also written by hand.

What opens something is not in that file: it is in the user's keyring where there is one, else in a file of his.
"""

import contextlib
import importlib.util
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from oms import durable
from oms.cli.failures import NotLoggedIn
from oms.client import Client, ClientError

USUAL = "default"
KEYRING = "opennode-oms"
"""Our name in the user's keyring."""
FROM_ENVIRONMENT = "environment"
"""What a profile is called that the variables `OMS_URL` and so on make."""


class Profile(msgspec.Struct, frozen=True):
    """One OMS and one user of it."""

    name: str
    urls: tuple[str, ...] = ()
    user: str = ""
    ca_sha256: str = ""
    ca_file: str = ""
    secret: str = ""
    """A SESSID or a token; empty where nobody is logged in."""

    def client(self) -> Client:
        """A client that goes on with it. Raises ClientError for an address that is none."""
        ca_file = Path(self.ca_file) if self.ca_file else None
        try:
            return Client(self.urls, ca_sha256=self.ca_sha256, ca_file=ca_file, sessid=self.secret)
        except ValueError as wrong:
            raise ClientError(str(wrong)) from None


class _Kept(msgspec.Struct):
    """A profile as it stands in the file."""

    url: str | list[str] = ""
    user: str = ""
    ca_sha256: str = ""
    ca_file: str = ""


class _Profiles(msgspec.Struct):
    """What may stand in the file."""

    default: str = USUAL
    profiles: dict[str, _Kept] = {}


def chosen(name: str | None = None, *, environment: bool = True) -> Profile:
    """The profile of that name; else that which the environment makes, if it counts, or the one that is usual.
    Without addresses where there is none. Raises ClientError for a file that cannot be understood."""
    if name is None and environment and (made := _from_environment(os.environ)):
        return made
    file = _read()
    name = name or os.environ.get("OMS_PROFILE") or file.get("default") or USUAL
    found = file.get("profiles", {}).get(name, {})
    urls = found.get("url", ())
    return Profile(
        name,
        (urls,) if isinstance(urls, str) else tuple(urls),
        found.get("user", ""),
        found.get("ca_sha256", ""),
        found.get("ca_file", ""),
        _secret(name) if found else "",
    )


def logged_in(name: str | None = None) -> Profile:
    """The same, of whoever may call. Raises NotLoggedIn."""
    profile = chosen(name)
    if profile.name == FROM_ENVIRONMENT and not profile.secret:
        raise NotLoggedIn("OMS_URL is set and OMS_TOKEN is not: it takes both, or neither and `oms login`.")
    if not profile.urls or not profile.secret:
        which = "" if profile.name == USUAL else f" --profile {profile.name}"
        raise NotLoggedIn(f"You are not logged in: `oms login{which}` asks for all it needs.")
    return profile


def names() -> list[str]:
    """Of all profiles in the file."""
    return list(_read().get("profiles", {}))


def keep(profile: Profile) -> None:
    """Put it in place of the one before, its secret where secrets are."""
    file = _read()
    before = file.setdefault("profiles", {}).get(profile.name)
    now: dict[str, Any] = {"url": list(profile.urls)}
    for field in ("user", "ca_sha256", "ca_file"):
        if value := getattr(profile, field):
            now[field] = value
    if before != now:
        file["profiles"][profile.name] = now
        durable.own_directory(_file().parent)
        durable.write_whole(_file(), _toml(file).encode())
    keep_secret(profile.name, profile.secret)


def keep_secret(name: str, secret: str) -> None:
    """Keep it in place of the one before; an empty one is forgotten. Raises ClientError."""
    with _keyring() as ring:
        if ring is not None and secret:
            ring.set_password(KEYRING, name, secret)
            secret = ""
        elif ring is not None and ring.get_password(KEYRING, name):
            ring.delete_password(KEYRING, name)
    kept = _secrets()
    if kept.get(name, "") != secret:
        kept.pop(name, None)
        durable.own_directory(_secret_file().parent)
        durable.write_whole(_secret_file(), msgspec.json.encode({**kept, **({name: secret} if secret else {})}))


def _secret(name: str) -> str:
    if kept := _secrets().get(name):
        return kept
    with _keyring() as ring:
        return (ring.get_password(KEYRING, name) or "") if ring is not None else ""


@contextlib.contextmanager
def _keyring() -> Iterator[Any]:
    """The keyring that the user has chosen, or the best one here that is made to be used unasked; None where the
    package is not installed, or there is none. Raises ClientError for one that cannot be used."""
    if importlib.util.find_spec("keyring") is None:
        yield None
        return
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.core.init_backend(keyring.core.recommended)
        yield keyring if keyring.get_keyring().priority > 0 else None
    except (KeyringError, RuntimeError, ImportError, AttributeError, OSError) as why:  # each fails in its own way
        raise ClientError(
            f"Your keyring cannot be used: {why}. Unlock it, or choose another one in PYTHON_KEYRING_BACKEND; "
            "keyring.backends.null.Keyring has a file in its place."
        ) from why


def _secrets() -> dict[str, str]:
    try:
        return msgspec.json.decode(_secret_file().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def _from_environment(environment: Mapping[str, str]) -> Profile | None:
    """For programs that are given all by variables."""
    if not environment.get("OMS_URL"):
        return None
    urls = tuple(environment["OMS_URL"].replace(",", " ").split())
    given = {field: environment.get(f"OMS_{field.upper()}", "") for field in ("user", "ca_sha256", "ca_file")}
    return Profile(FROM_ENVIRONMENT, urls, secret=environment.get("OMS_TOKEN", ""), **given)


def _file() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "oms" / "profiles.toml"


def _secret_file() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "oms" / "secrets.json"


def _read() -> dict[str, Any]:
    try:
        found = tomllib.loads(_file().read_text(encoding="utf-8"))
        msgspec.convert(found, _Profiles)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise ClientError(f"{_file()} is not TOML: {wrong}. Mend it, or remove it and log in again.") from wrong
    except msgspec.ValidationError as wrong:
        raise ClientError(
            f"{_file()} has no profiles: {wrong}. Mend it, or remove it and log in again."
        ) from wrong
    return found


def _toml(file: Mapping[str, Any]) -> str:
    """As it is kept. What JSON calls a text or a list of texts, TOML does too."""
    parts = [f"default = {json.dumps(file['default'])}\n"] if "default" in file else []
    for name, values in file["profiles"].items():
        lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
        parts.append(f"[profiles.{json.dumps(name, ensure_ascii=False)}]\n{''.join(lines)}")
    return "\n".join(parts)
