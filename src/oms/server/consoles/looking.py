"""Only looking: what a viewer of a screen sends, without what he would type, click or paste.

RFB (RFC 6143) from the client's side, with the extensions that noVNC uses. Whatever is not known ends the
connection: a message whose length is not known would hide the next. Pure.
"""

VERSION = 12
NO_PASSWORD, PASSWORD = b"\x01", b"\x02"
SHARED = b"\x01"
_ALWAYS = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 250: 4}
"""Bytes of the messages that are always as long."""
_COUNTED = {2: (2, 2, 4, 4), 6: (4, 4, 8, 1), 248: (8, 1, 9, 1), 251: (6, 1, 8, 16)}
"""Of the others: where their count stands and how wide it is, how long they are without what is counted, and how
long each of that is."""
_MEANT = frozenset({0, 2, 3, 150, 248})
"""How the screen is to be sent, and that it is."""
_PASTED, _KEY_OF_QEMU = 6, 255
MOST_BYTES = 1024 * 1024


class NotUnderstood(ValueError):
    """Something that no viewer says."""


class OnlyLooks:
    """One viewer's words as they come, in any pieces."""

    def __init__(self) -> None:
        self._left = b""
        self._greeting: list[int] | None = [VERSION, 1, 1]

    def let_through(self, data: bytes) -> bytes:
        """Of these bytes and those before, what goes to the machine. Raises NotUnderstood."""
        self._left += data
        passed = b""
        while self._left:
            length = self._greeting[0] if self._greeting else _length(self._left)
            if length > MOST_BYTES:
                raise NotUnderstood("a message that is too long")
            if len(self._left) < length:
                break
            word, self._left = self._left[:length], self._left[length:]
            passed += self._greeted(word) if self._greeting else word if word[0] in _MEANT else b""
        return passed

    def _greeted(self, word: bytes) -> bytes:
        """The version; the kind of password, and that; whether others may look too, which they may."""
        assert self._greeting is not None
        del self._greeting[0]
        if not self._greeting:
            self._greeting = None
            return SHARED
        if len(self._greeting) == 1 and len(word) == 1:
            if word == PASSWORD:
                self._greeting.insert(0, 16)
            elif word != NO_PASSWORD:
                raise NotUnderstood("another kind of password")
        return word


def _length(words: bytes) -> int:
    """Bytes of the message that begins here, or as many as are needed to tell."""
    kind = words[0]
    if kind in _ALWAYS:
        return _ALWAYS[kind]
    if kind == _KEY_OF_QEMU:
        if words[1:2] not in (b"", b"\0"):
            raise NotUnderstood("another message of qemu's")
        return 12
    if kind not in _COUNTED:
        raise NotUnderstood(f"a message of the kind {kind}")
    at, width, head, each = _COUNTED[kind]
    if len(words) < at + width:
        return at + width
    # A pasted text in the extended form tells its length below zero.
    count = int.from_bytes(words[at : at + width], signed=kind == _PASTED)
    return head + abs(count) * each
