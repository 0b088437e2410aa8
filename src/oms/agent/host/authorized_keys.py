"""OMS's one line in the host's list of SSH keys: the key with which OMS opens consoles, and nothing else with it.

The line is known by its comment, which names the host's id; all other lines are other people's and stay as they
are, byte for byte.
"""

import base64
import binascii
import os
import re
from pathlib import Path

from oms.durable import write_whole

OPTIONS = b"restrict,pty,port-forwarding"
"""A terminal, and the way to where screens are served: no agent, no X11, nothing of the user's own start-up files.

Which sockets may be opened cannot be said: `permitopen` shuts Unix sockets out, and whoever has a terminal here
can open what he likes.
"""
LONGEST_KEY = 8192
LARGEST_FILE_BYTES = 1024 * 1024
_KINDS = frozenset({"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"})


class KeyRefused(ValueError):
    """Why a key is not put into the list."""


def install(path: Path, host_id: str, public_key: str) -> bool:
    """Make `public_key` (one line of OpenSSH's form, no options) the one that OMS has here.

    Answers whether the file had to be changed. Raises KeyRefused, OSError.
    """
    line = b"%s %s %s" % (OPTIONS, _checked(public_key), _mark(host_id))
    return _rewrite(path, host_id, [line])


def remove(path: Path, host_id: str) -> bool:
    """Take OMS's line out again; answers whether it was there. Raises OSError."""
    return _rewrite(path, host_id, [])


def _mark(host_id: str) -> bytes:
    return f"opennode-oms:{host_id}".encode()


def _checked(public_key: str) -> bytes:
    """The kind and the body of a key, its comment left out."""
    words = public_key.split(" ", 2) if len(public_key) <= LONGEST_KEY else []
    if len(words) < 2 or words[0] not in _KINDS or not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", words[1]):
        raise KeyRefused("This is no public key in OpenSSH's form.")
    try:
        body = base64.b64decode(words[1], validate=True)
    except binascii.Error as error:
        raise KeyRefused("The public key is not whole.") from error
    kind = words[0].encode()
    if not body.startswith(len(kind).to_bytes(4, "big") + kind):
        raise KeyRefused("The public key is of another kind than it says.")
    return b"%s %s" % (kind, words[1].encode())


def _rewrite(path: Path, host_id: str, ours: list[bytes]) -> bool:
    path = Path(os.path.realpath(path))  # on some systems it is a link to where all hosts of a cluster share it
    before = _read(path)
    others = [line for line in before.splitlines(keepends=True) if line.split()[-1:] != [_mark(host_id)]]
    if others and not others[-1].endswith(b"\n"):
        others[-1] += b"\n"
    after = b"".join([*others, *(line + b"\n" for line in ours)])
    if after == before:
        return False
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700)
    write_whole(path, after)
    return True


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        return b""
    if len(content) > LARGEST_FILE_BYTES:
        raise OSError(f"{path} is larger than {LARGEST_FILE_BYTES} bytes: it is left alone")
    return content
