"""Who this host is to OMS: its key, and the place it was given. Files that are whole or not there.

ca.pem                the CA by which OMS is known, pinned at the first contact
current -> a-…        key, certificate and the rest of one place, changed in one step
next-key.pem          the key of a renewal that is under way, so that it can be asked for again
"""

import secrets
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from oms import durable
from oms.bus import enrolment
from oms.bus.enrolment import EnrolAnswer
from oms.bus.pinning import sha256
from oms.bus.wire import check_host_id


class Place(msgspec.Struct, frozen=True):
    """What OMS told when it let this host in."""

    host_id: str
    bus: str
    """host:port."""
    more_buses: tuple[str, ...] = ()
    """Further ones of the same bus."""
    known_by: str = ""
    """SHA-256 of the CA that was pinned then: the place is that OMS's."""

    @property
    def buses(self) -> tuple[str, ...]:
        """All of them."""
        return (self.bus, *self.more_buses)


@dataclass(frozen=True)
class Identity:
    """The files of a host's identity."""

    home: Path

    @property
    def ca(self) -> Path:
        """The pinned CA."""
        return self.home / "ca.pem"

    @property
    def key(self) -> Path:
        """The present key, waiting or signed."""
        return self.home / "key.pem"

    @property
    def certificate(self) -> Path:
        """The present certificate."""
        return self.home / "current" / "certificate.pem"

    @property
    def signed_key(self) -> Path:
        """The key of the present certificate."""
        return self.home / "current" / "key.pem"

    @property
    def server_ca(self) -> Path:
        """The CA of the bus."""
        return self.home / "current" / "server-ca.pem"

    @property
    def next_key(self) -> Path:
        """The key of a renewal that is under way."""
        return self.home / "next-key.pem"

    def make_key(self) -> bytes:
        """The key to ask with, made if there is none."""
        if not self.key.exists():
            durable.write_whole(self.key, enrolment.make_key())
        return self.key.read_bytes()

    def make_next_key(self) -> bytes:
        """The key to renew with, made if there is none."""
        if not self.next_key.exists():
            durable.write_whole(self.next_key, enrolment.make_key())
        return self.next_key.read_bytes()

    def place(self) -> Place | None:
        """The place, or None where this host was not let in yet, or what it was given is not whole."""
        try:
            key, certificate = self.signed_key.read_bytes(), self.certificate.read_text()
            if not _fit(certificate, key) or not self.server_ca.exists():
                return None
            place = msgspec.json.decode((self.home / "current" / "place.json").read_bytes(), type=Place)
        except (FileNotFoundError, NotADirectoryError, UnicodeError, msgspec.MsgspecError, enrolment.Refusal):
            return None
        self._mend(key)
        return place

    def _mend(self, key: bytes) -> None:
        """Finish a `take` that was broken off after its one step."""
        if not self.key.exists() or self.key.read_bytes() != key:
            durable.write_whole(self.key, key)
        if self.next_key.exists() and self.next_key.read_bytes() == key:
            self.next_key.unlink()

    def name(self) -> str:
        """The name in the present certificate."""
        return str(self._parsed().subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    def pinned(self) -> str:
        """The fingerprint of the pinned CA, "" where there is none. Raises ValueError where it is damaged."""
        return sha256(self.ca.read_text()) if self.ca.exists() else ""

    def _parsed(self) -> x509.Certificate:
        return enrolment.read_certificate(self.certificate.read_text())

    def life(self) -> tuple[datetime, datetime]:
        """Begin and end of the present certificate."""
        certificate = self._parsed()
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc

    def take(self, answer: EnrolAnswer, key: bytes) -> Place:
        """Keep what OMS gave, in one step. Raises Refusal for an answer that is not whole or not for this key."""
        if not (answer.host_id and answer.certificate and answer.server_ca and answer.bus_url):
            raise enrolment.Refusal("OMS's answer is not whole: see that server and agent are of like versions.")
        if not _fit(answer.certificate, key):
            raise enrolment.Refusal("OMS answered with a certificate for another key.")
        bus, *more = _buses(answer)
        place = Place(check_host_id(answer.host_id), bus, tuple(more), self.pinned())
        aside = self.home / f"a-{secrets.token_hex(4)}"
        aside.mkdir(mode=0o700)
        for name, content in (
            ("certificate.pem", answer.certificate.encode()),
            ("key.pem", key),
            ("server-ca.pem", answer.server_ca.encode()),
            ("place.json", msgspec.json.encode(place)),
        ):
            durable.write_whole(aside / name, content)
        durable.point(self.home / "current", aside.name)
        durable.write_whole(self.key, key)
        self.next_key.unlink(missing_ok=True)
        self._tidy(aside.name)
        return place

    def found_at(self, buses: tuple[str, ...]) -> Place | None:
        """Keep that the bus has these nodes now; the place as it is then. Raises OSError."""
        if (place := self.place()) is None:
            return None
        bus, *more = buses
        now = msgspec.structs.replace(place, bus=bus, more_buses=tuple(more))
        durable.write_whole(self.home / "current" / "place.json", msgspec.json.encode(now))
        return now

    def leave(self) -> None:
        """Forget the place and keep the key: another OMS is asked with it."""
        for file in (self.home / "current", self.next_key):
            file.unlink(missing_ok=True)
        self._tidy("")

    def throw_away(self) -> None:
        """Forget key and certificate: this host was removed, and will ask with a new key."""
        self.key.unlink(missing_ok=True)
        self.leave()

    def _tidy(self, keep: str) -> None:
        for old in self.home.glob("a-*"):
            if old.name != keep:
                shutil.rmtree(old)
        durable.sync_directory(self.home)


def _fit(certificate: str, key: bytes) -> bool:
    public = enrolment.read_certificate(certificate).public_key()
    return isinstance(public, enrolment.PublicKey) and enrolment.public_der(public) == enrolment.public_key(key)


def is_at(place: Place, answer: EnrolAnswer) -> bool:
    """Whether the bus is where OMS says it is."""
    return place.buses == _buses(answer)


def _buses(answer: EnrolAnswer) -> tuple[str, ...]:
    return tuple(url.removeprefix("tls://") for url in answer.bus_urls or (answer.bus_url or "",))
