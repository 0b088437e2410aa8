"""The signer's own directory: the keys of both authorities, and the log of everything that was issued.

    server-ca.pem  host-ca.pem   private key and certificate of one authority, in one file
    issued.jsonl                 one line per certificate, on the disk before the certificate is handed out

An authority is one file because a file appears whole or not at all: there is never a key without its certificate.
"""

import fcntl
import os
import secrets
import stat
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from oms.bus.enrolment import UNREADABLE
from oms.server.ca import authority
from oms.server.ca.authority import Authorities, Authority, Kind
from oms.server.ca.privilege import CannotStart

LOG = "issued.jsonl"
MEGABYTE = 2**20


class KeyStoreError(CannotStart):
    """The signer's directory cannot be used as it is; the text tells a person what to do."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log. Fingerprints are SHA-256 in hexadecimal, times RFC 3339 in UTC.

    `csr_sha256` is empty for what OMS issued to itself.
    """

    time: datetime
    kind: str
    name: str
    serial: str
    certificate_sha256: str
    key_sha256: str
    csr_sha256: str = ""
    not_after: datetime


class KeyStore:
    """The directory, held by one process at a time: the second signer is turned away.

    Usable as a context; closing gives the directory free.
    """

    def __init__(self, directory: Path) -> None:
        """Opens the directory, making it (0700) if it is not there; `KeyStoreError` if it cannot be used."""
        self._path = directory
        self._directory = _open_directory(directory)
        self._log = -1
        try:
            self._log = _open_log(self._directory)
        except OSError as error:
            self.close()
            raise KeyStoreError(f"{directory / LOG} cannot be opened: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def authorities(self, now: datetime) -> Authorities:
        """Both authorities: read, or made at the first start."""
        return Authorities(server=self._authority("server", now), host=self._authority("host", now))

    def record(self, entry: Entry) -> None:
        """Appends one line and waits until it is on the disk; `OSError` if that fails, with the log as before."""
        before = os.fstat(self._log).st_size
        line = memoryview(msgspec.json.encode(entry) + b"\n")
        try:
            while line:
                line = line[os.write(self._log, line) :]
            os.fsync(self._log)
        except OSError:
            # A full disk may have taken half a line, which would make the next one unreadable.
            os.ftruncate(self._log, before)
            raise

    def close(self) -> None:
        """Gives the directory free."""
        for descriptor in (self._log, self._directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._log = self._directory = -1

    def _authority(self, kind: Kind, now: datetime) -> Authority:
        name = f"{kind}-ca.pem"
        try:
            return _parse(_read_private(self._directory, name))
        except FileNotFoundError:
            return self._create(kind, name, now)
        except (OSError, *UNREADABLE) as error:
            raise KeyStoreError(
                f"{self._path / name} cannot be used ({error}): it must be this user's own file with mode 0600"
                " that holds a CA's key and certificate. Restore it from a backup."
            ) from error

    def _create(self, kind: Kind, name: str, now: datetime) -> Authority:
        if os.fstat(self._log).st_size:
            raise KeyStoreError(
                f"{self._path / name} is missing, though certificates were issued: a new authority would cut off"
                f" every host. Restore the file from a backup, or, to begin anew, remove {LOG} as well."
            )
        made = authority.create(kind, now)
        _write_private(self._directory, name, _text(made))
        return made


def _open_directory(path: Path) -> int:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise KeyStoreError(f"{path} cannot be opened as a directory: {error.strerror}.") from error
    try:
        _claim(descriptor, path)
    except KeyStoreError:
        os.close(descriptor)
        raise
    return descriptor


def _claim(descriptor: int, path: Path) -> None:
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise KeyStoreError(f"{path} must belong to the signer's user and have mode 0700.")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise KeyStoreError(f"Another signer uses {path}: stop it first.") from error


def _open_log(directory: int) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(LOG, flags, 0o600, dir_fd=directory)
    os.fsync(directory)
    size = os.fstat(log).st_size
    if size and os.pread(log, 1, size - 1) != b"\n":
        # The machine stopped in the middle of a line; that certificate was never handed out.
        os.write(log, b"\n")
    return log


def _read_private(directory: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.geteuid():
            raise PermissionError("wrong kind, owner or mode")
        return os.read(descriptor, MEGABYTE)
    finally:
        os.close(descriptor)


def _write_private(directory: int, name: str, content: bytes) -> None:
    """A new file with mode 0600 that is there whole, on the disk, or not at all."""
    temporary = f".{name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.unlink(temporary, dir_fd=directory)
        raise
    os.fsync(directory)


def _text(made: Authority) -> bytes:
    key = made.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key + authority.pem(made.certificate).encode("ascii")


def _parse(text: bytes) -> Authority:
    key = serialization.load_pem_private_key(text, password=None)
    certificate = x509.load_pem_x509_certificate(text)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("key and certificate do not belong together")
    return Authority(key, certificate)
