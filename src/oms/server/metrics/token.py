"""The one secret by which a monitoring system is let in: made at the server's own machine, kept as its SHA-256."""

import hashlib
import hmac
import re
import secrets

from sqlalchemy import Connection

from oms.server.store import meta

KEY = "metrics_token_sha256"
_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9_-]{43})")


def make(tx: Connection) -> str:
    """A new token, in place of the one before."""
    token = secrets.token_urlsafe(32)
    meta.put(tx, KEY, _digest(token))
    return token


def end(tx: Connection) -> bool:
    """Let nobody in any more; whether there was a token."""
    there = bool(meta.get(tx, KEY))
    meta.put(tx, KEY, "")
    return there


def given(authorization: str) -> str | None:
    """The token of a request's header, if it can be one."""
    found = _BEARER.fullmatch(authorization)
    return found[1] if found else None


def fits(tx: Connection, token: str) -> bool:
    """Whether it is the one that was made last."""
    kept = meta.get(tx, KEY) or ""
    return hmac.compare_digest(_digest(token), kept)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
