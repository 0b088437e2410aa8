"""What another host's libvirtd may say to this one's while it brings a machine: libvirt's RPC, read and written
anew. Pure.

Of the hundreds of calls that libvirtd takes eight are let through. The three of them that mean anything (which
hypervisor, which machine by which definition and where it listens, how that is ended) get values of this host's
own in place of those that came: a host that was taken over can bring the one machine that was agreed on, or
none. Only libvirt's cookies, which its two ends need to understand each other, go on as they came.

Sources: libvirt's documentation of its RPC protocol, src/rpc/virnetprotocol.x, src/remote/remote_protocol.x;
XDR is RFC 4506.
"""

import struct
from collections.abc import Iterator
from typing import Final

import libvirt

from oms.agent.guests.moves import DISKS, MEMORY, Admission
from oms.contract.errors import NotSupported

REMOTE, KEEPALIVE = 0x20008086, 0x6B656570
VERSION = 1
CALL, MESSAGE = 0, 2
OPEN, CLOSE, SUPPORTS_FEATURE, AUTH_LIST = 1, 2, 60, 66
PREPARE, FINISH, REGISTER_CLOSE, UNREGISTER_CLOSE = 303, 306, 360, 361
AS_THEY_ARE: Final = frozenset({CLOSE, SUPPORTS_FEATURE, AUTH_LIST, REGISTER_CLOSE, UNREGISTER_CLOSE})
HEAD = struct.Struct(">IIIiIi")
"""Program, version, procedure, type, serial, status."""
LENGTH = struct.Struct(">I")
LONGEST_BYTES = 4 * 1024 * 1024
MOST_PARAMETERS = 64
LONGEST_TEXT_BYTES = 4 * 1024 * 1024
LONGEST_COOKIE_BYTES = 64 * 1024
STRING, WIDE = 7, frozenset({3, 4, 5})
"""Types of parameters: texts, and those of eight bytes; all others have four."""
DRIVER = "qemu:///system"


def flags(copied: tuple[str, ...], *, all_disks_copied: bool) -> int:
    """How machines are moved."""
    chosen = (
        libvirt.VIR_MIGRATE_LIVE
        | libvirt.VIR_MIGRATE_PEER2PEER
        | libvirt.VIR_MIGRATE_PAUSED
        | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
        | libvirt.VIR_MIGRATE_AUTO_CONVERGE
    )
    if copied:
        chosen |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
    if not all_disks_copied:
        # That both hosts have the very same files was shown to them; libvirt only knows names of file systems.
        chosen |= libvirt.VIR_MIGRATE_UNSAFE
    return int(chosen)


class LibvirtDoorkeeper:
    """One connection of another host's; see the Protocol `Doorkeeper`."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._left = b""

    def let_through(self, said: bytes) -> bytes:
        """Whole messages, judged one by one; half a message waits for its rest."""
        self._left += said
        passed = []
        while len(self._left) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._left)
            if not LENGTH.size + HEAD.size <= length <= LONGEST_BYTES:
                raise _refused("a message of no possible length")
            if len(self._left) < length:
                break
            message, self._left = self._left[LENGTH.size : length], self._left[length:]
            passed.append(self._judged(message))
        return b"".join(passed)

    def _judged(self, message: bytes) -> bytes:
        program, version, procedure, kind, serial, status = HEAD.unpack_from(message)
        body = message[HEAD.size :]
        if program == KEEPALIVE and version == VERSION and kind == MESSAGE and not body:
            return _whole(message)
        if (program, version, kind, status) != (REMOTE, VERSION, CALL, 0):
            raise _refused(f"program {program:#x}, version {version}, type {kind}")
        if procedure in AS_THEY_ARE:
            if len(body) > LENGTH.size:
                raise _refused(f"procedure {procedure} with more than it takes")
            return _whole(message)
        try:
            rewritten = self._rewritten(procedure, Reader(body))
        except (struct.error, IndexError) as bad:
            raise _refused(f"procedure {procedure} in a form that is not known") from bad
        return _whole(HEAD.pack(program, version, procedure, kind, serial, status) + rewritten)

    def _rewritten(self, procedure: int, came: "Reader") -> bytes:
        match procedure:
            case 1:  # OPEN
                return LENGTH.pack(1) + text(DRIVER) + LENGTH.pack(0)
            case 303:  # PREPARE
                came.skip_parameters()
                cookie = came.opaque(LONGEST_COOKIE_BYTES)
                return parameters(self._prepared()) + opaque(cookie) + LENGTH.pack(self._flags())
            case 306:  # FINISH
                came.skip_parameters()
                cookie = came.opaque(LONGEST_COOKIE_BYTES)
                came.number()
                cancelled = LENGTH.pack(1 if came.number() else 0)
                named = parameters([(libvirt.VIR_MIGRATE_PARAM_DEST_NAME, self._admission.name)])
                return named + opaque(cookie) + LENGTH.pack(self._flags()) + cancelled
            case _:
                raise _refused(f"procedure {procedure}")

    def _prepared(self) -> list[tuple[str, str]]:
        admission = self._admission
        disks = f"unix://{admission.sockets / DISKS}"
        return [
            (libvirt.VIR_MIGRATE_PARAM_DEST_NAME, admission.name),
            (libvirt.VIR_MIGRATE_PARAM_DEST_XML, admission.definition),
            (libvirt.VIR_MIGRATE_PARAM_URI, f"unix://{admission.sockets / MEMORY}"),
            *([(libvirt.VIR_MIGRATE_PARAM_DISKS_URI, disks)] if admission.copied else []),
            *((libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS, target) for target in admission.copied),
        ]

    def _flags(self) -> int:
        return flags(self._admission.copied, all_disks_copied=True)


class Reader:
    """XDR, from its beginning on. Raises struct.error, IndexError where it is not what is looked for."""

    def __init__(self, body: bytes) -> None:
        self._body, self._place = body, 0

    def number(self) -> int:
        """Four bytes."""
        (found,) = LENGTH.unpack_from(self._body, self._place)
        self._place += LENGTH.size
        return int(found)

    def opaque(self, longest: int) -> bytes:
        """Bytes with their length before them."""
        length = self.number()
        if length > longest or self._place + length > len(self._body):
            raise IndexError(length)
        found = self._body[self._place : self._place + length]
        self._place += length + -length % 4
        return found

    def skip_parameters(self) -> None:
        """Names with values of different types."""
        if (count := self.number()) > MOST_PARAMETERS:
            raise IndexError(count)
        for _ in range(count):
            self.opaque(LONGEST_TEXT_BYTES)
            kind = self.number()
            if kind == STRING:
                self.opaque(LONGEST_TEXT_BYTES)
            else:
                self._place += 8 if kind in WIDE else 4


def opaque(content: bytes) -> bytes:
    """Bytes in XDR."""
    return LENGTH.pack(len(content)) + content + bytes(-len(content) % 4)


def text(words: str) -> bytes:
    """A text in XDR."""
    return opaque(words.encode())


def parameters(named: list[tuple[str, str]]) -> bytes:
    """Texts by their names, in XDR."""

    def each() -> Iterator[bytes]:
        for name, value in named:
            yield text(name) + LENGTH.pack(STRING) + text(value)

    return LENGTH.pack(len(named)) + b"".join(each())


def _whole(message: bytes) -> bytes:
    return LENGTH.pack(LENGTH.size + len(message)) + message


def _refused(what: str) -> NotSupported:
    return NotSupported(f"The other host's hypervisor says what no move needs, and was not listened to: {what}")
